"""Records over time: what happened in each of some hundred stretches of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS
from llm_benchmark.errors import OptionError
from llm_benchmark.histogram import Histogram
from llm_benchmark.records import RECORDS_NAME

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

INSTANTS = ("intended_ns", "sent_ns", "first_token_ns", "last_token_ns", "end_ns")
MOST_BINS = 200
WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Requests:
    """What charts need of all requests; arrays have shape (requests,).

    Attributes:
        instants: By name, s from the start of the run; not a number: never reached.
        mean_gap_ms: Mean time between a request's events with text; not a number: it has no two.
        error_class: Kind of failure; empty: success.
        gaps: The distribution of all times between events, ns.
        examples: One failure in words of each class.
    """

    instants: dict[str, NDArray[np.float64]]
    mean_gap_ms: NDArray[np.float64]
    error_class: NDArray[np.object_]
    gaps: Histogram
    examples: dict[str, str]

    def milliseconds(self, first: str, last: str) -> NDArray[np.float64]:
        """Return last less first, ms, of successful requests; else not a number."""
        durations = (self.instants[f"{last}_ns"] - self.instants[f"{first}_ns"]) * 1000
        return np.where(self.error_class == "", durations, np.nan)


def read_requests(folder: Path, start_ns: int) -> Requests:
    """Read what charts need of a run's records.

    Args:
        folder: The run's folder.
        start_ns: The start of the run, UTC epoch ns.

    Raises:
        OptionError: There are no records.
    """
    try:
        file = pq.ParquetFile(folder / RECORDS_NAME)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"{folder}: no readable {RECORDS_NAME} ({error}); give the folder of a finished run"
        ) from error
    instants: dict[str, list[NDArray[np.float64]]] = {name: [] for name in INSTANTS}
    gaps, means, classes, examples = Histogram(), [], [], dict[str, str]()
    columns = [*INSTANTS, "itl_ns", "error_class", "error"]
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        for name in INSTANTS:
            instants[name].append(_seconds(batch[name], start_ns))
        lengths = batch["itl_ns"].value_lengths().to_numpy(zero_copy_only=False)
        gaps.add(batch["itl_ns"].flatten().to_numpy(zero_copy_only=False))
        generating = instants["last_token_ns"][-1] - instants["first_token_ns"][-1]
        means.append(np.where(lengths > 0, generating * 1000 / np.maximum(lengths, 1), np.nan))
        classes.append(batch["error_class"].to_numpy(zero_copy_only=False))
        for error_class, text in zip(classes[-1], batch["error"].to_pylist(), strict=True):
            examples.setdefault(error_class, text)
    examples.pop("", None)
    return Requests(
        {name: _joined(parts) for name, parts in instants.items()},
        _joined(means),
        np.concatenate(classes) if classes else np.zeros(0, object),
        gaps,
        examples,
    )


@dataclass(frozen=True, slots=True)
class Bins:
    """Stretches of a run of equal length.

    Attributes:
        edges: Their borders, s from the start of the run, shape (bins + 1,).
    """

    edges: NDArray[np.float64]

    @classmethod
    def over(cls, seconds: float) -> Bins:
        """Return stretches of a round length, some hundred at most."""
        fitting = (width for width in WIDTHS_S if seconds / width <= MOST_BINS)
        width = next(fitting, seconds / MOST_BINS)
        return cls(np.arange(0, max(1, np.ceil(seconds / width)) + 1) * width)

    @property
    def starts(self) -> list[float]:
        """Where each begins, s."""
        starts: list[float] = self.edges[:-1].tolist()
        return starts

    @property
    def width(self) -> float:
        """Their length, s."""
        return float(self.edges[1] - self.edges[0])

    def counts(self, instants: NDArray[np.float64]) -> list[float]:
        """Return how many instants (s) fall into each."""
        finite = instants[np.isfinite(instants)]
        counts: list[float] = np.histogram(finite, self.edges)[0].astype(float).tolist()
        return counts

    def quantiles(
        self, instants: NDArray[np.float64], values: NDArray[np.float64], shares: tuple[float, ...]
    ) -> list[list[float | None]]:
        """Return quantiles of the values in each, by share; None of nothing."""
        usable = np.isfinite(instants) & np.isfinite(values)
        places = np.searchsorted(self.edges, instants[usable], side="right") - 1
        order = np.lexsort((values[usable], places))
        places, ordered = places[order], values[usable][order]
        first, last = (
            np.searchsorted(places, np.arange(len(self.edges) - 1), side=side)
            for side in ("left", "right")
        )
        found: list[list[float | None]] = []
        for share in shares:
            ranks = first + np.maximum(np.ceil(share * (last - first)).astype(int) - 1, 0)
            found.append(
                [
                    float(ordered[rank]) if end > begin else None
                    for rank, begin, end in zip(ranks, first, last, strict=True)
                ]
            )
        return found


def in_flight(requests: Requests, bins: Bins) -> list[float]:
    """Return how many requests were under way at the start of each bin."""
    sent = np.sort(requests.instants["sent_ns"])
    ended = np.sort(requests.instants["end_ns"])
    edges = bins.edges[:-1]
    under_way = np.searchsorted(sent, edges, "right") - np.searchsorted(ended, edges, "right")
    numbers: list[float] = under_way.astype(float).tolist()
    return numbers


def _seconds(column: pa.Array, start_ns: int) -> NDArray[np.float64]:
    # Subtracted as integers: epoch nanoseconds do not fit a float.
    filled = column.fill_null(start_ns).to_numpy(zero_copy_only=False) - start_ns
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, np.nan, filled / SECOND_NS)


def _joined(parts: list[NDArray[Any]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.zeros(0)


def quantile_curve(values_ms: NDArray[np.float64]) -> Histogram:
    """Return the distribution of values in ms as a histogram in ns; not a number is left out."""
    histogram = Histogram()
    histogram.add(values_ms[np.isfinite(values_ms)] * MILLISECOND_NS)
    return histogram
