"""Records over time: what happened in each of some hundred stretches of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS
from llm_benchmark.errors import OptionError
from llm_benchmark.histogram import Histogram
from llm_benchmark.records import RECORDS_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

INSTANTS = ("intended_ns", "sent_ns", "first_token_ns", "last_token_ns", "end_ns")
MOST_BINS = 200
WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
BATCH_ROWS = 65_536
COLUMNS = [*INSTANTS, "itl_ns", "output_tokens", "error_class", "error"]


@dataclass(frozen=True, slots=True)
class Requests:
    """What charts need of all requests; arrays have shape (requests,).

    Attributes:
        instants: By name, s from the start of the run; not a number: never reached.
        tokens: Tokens of each answer.
        events: Its events with text.
        inside: Whether it was due within the window.
        error_class: Kind of failure; empty: success.
        gaps: The distribution of the times between events of the window's successful requests, ns.
        examples: One failure in words of each class.
    """

    instants: dict[str, NDArray[np.float64]]
    tokens: NDArray[np.float64]
    events: NDArray[np.float64]
    inside: NDArray[np.bool_]
    error_class: NDArray[np.object_]
    gaps: Histogram
    examples: dict[str, str]

    def milliseconds(self, first: str, last: str) -> NDArray[np.float64]:
        """Return last less first, ms, of successful requests; else not a number."""
        durations = (self.instants[f"{last}_ns"] - self.instants[f"{first}_ns"]) * 1000
        return np.where(self.good, durations, np.nan)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Whether each was successful."""
        return np.asarray(self.error_class == "")

    def per_token_ms(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean time from one to the next of so many of each request's, ms."""
        generating = self.milliseconds("first_token", "last_token")
        return np.where(counts > 1, generating / np.maximum(counts - 1, 1), np.nan)


def read_requests(folder: Path, window: dict[str, Any]) -> Requests:
    """Read what charts need of a run's records.

    Args:
        folder: The run's folder.
        window: The summary's window.

    Raises:
        OptionError: There are no records, or they cannot be read.
    """
    try:
        return _read(folder / RECORDS_NAME, window)
    except (OSError, ValueError, LookupError) as error:
        raise OptionError(
            f"{folder}: no readable {RECORDS_NAME} ({error}); give the folder of a finished run"
        ) from error


def _read(path: Path, window: dict[str, Any]) -> Requests:
    start_ns = window["run_start_ns"]
    inside_s = [(window[name] - start_ns) / SECOND_NS for name in ("start_ns", "end_ns")]
    instants: dict[str, list[NDArray[np.float64]]] = {name: [] for name in INSTANTS}
    gaps, examples = Histogram(), dict[str, str]()
    tokens, events, inside, classes = [], [], [], []
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=COLUMNS):
            for name in INSTANTS:
                instants[name].append(_seconds(batch[name], start_ns))
            due = instants["intended_ns"][-1]
            inside.append((due >= inside_s[0]) & (due <= inside_s[1]))
            tokens.append(batch["output_tokens"].to_numpy(zero_copy_only=False).astype(float))
            events.append(batch["itl_ns"].value_lengths().to_numpy(zero_copy_only=False) + 1.0)
            # One text for each class, not one for each request.
            encoded = batch["error_class"].dictionary_encode()
            texts = np.array(encoded.dictionary.to_pylist(), object)
            classes.append(texts[encoded.indices.to_numpy()])
            counted = batch["itl_ns"].filter(pa.array(inside[-1] & (classes[-1] == "")))
            gaps.add(counted.flatten().to_numpy(zero_copy_only=False))
            failed = batch.filter(pc.not_equal(batch["error_class"], ""))
            for error_class, text in zip(failed["error_class"], failed["error"], strict=True):
                examples.setdefault(error_class.as_py(), text.as_py())
    return Requests(
        {name: _joined(parts) for name, parts in instants.items()},
        _joined(tokens),
        _joined(events),
        np.concatenate(inside) if inside else np.zeros(0, bool),
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
    """Return the most requests that were under way at once in each bin."""
    sent, ended = (requests.instants[name] for name in ("sent_ns", "end_ns"))
    times = np.concatenate([bins.edges[:-1], sent, ended])
    changes = np.concatenate(
        [np.zeros(len(bins.edges) - 1), np.ones(len(sent)), -np.ones(len(ended))]
    )
    # At the same instant an end comes first, then what marks a bin's start, then a sending.
    order = np.lexsort((changes, times))
    under_way = np.cumsum(changes[order])
    starts = np.flatnonzero(order < len(bins.edges) - 1)
    most: list[float] = np.maximum.reduceat(under_way, starts).tolist()
    return most


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
