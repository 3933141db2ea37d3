"""Two runs side by side, with intervals that know how runs fluctuate.

Requests that are close in time share the server's state, so they are no independent draws. Whole
seconds of a run are drawn instead, with replacement (non-overlapping block bootstrap: Carlstein,
The use of subseries values for estimating the variance of a general statistic, Annals of Statistics
14, 1986), from both runs alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_benchmark.clock import SECOND_NS
from llm_benchmark.reports.run_page import read_summary
from llm_benchmark.reports.timeline import read_requests
from llm_benchmark.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

DRAWS = 1000
LEAST_BLOCKS = 10
LEVEL = 0.95
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

Samples = list["NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of two runs.

    Attributes:
        name: What it is, with its unit.
        first: The first run's; None: it has none.
        second: The second run's.
        interval: Where second less first lies, with 95 %; None: runs too short to tell.
    """

    name: str
    first: float | None
    second: float | None
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float | None:
        """Second less first."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def decided(self) -> bool:
        """Whether the runs differ, as far as one can tell."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, slots=True)
class Run:
    """A run cut into whole seconds.

    Attributes:
        summary: Its summary.
        blocks: For each kind of value its values in each second of the window.
    """

    summary: dict[str, Any]
    blocks: dict[str, Samples]


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        OptionError: The folder holds none.
    """
    summary = read_summary(folder)
    window = summary["window"]
    requests = read_requests(folder, window["start_ns"])
    seconds = int((window["end_ns"] - window["start_ns"]) // SECOND_NS)
    due = requests.instants["intended_ns"]
    places = np.floor(due).astype(int)
    good = requests.error_class == ""
    values = {
        "TTFT": requests.milliseconds("sent", "first_token"),
        "ITL": np.where(good, requests.mean_gap_ms, np.nan),
        "end to end": requests.milliseconds("sent", "end"),
        "errors": np.where(good, 0.0, 100.0),
        "requests": np.ones(len(due)),
    }
    return Run(summary, {name: _cut(places, one, seconds) for name, one in values.items()})


def compare(first: Run, second: Run, *, seed: int = 0) -> list[Row]:
    """Return all figures of two runs.

    Args:
        first: What to compare with.
        second: What to compare.
        seed: Seed of the drawing.
    """
    rows = []
    for name in ("TTFT", "ITL", "end to end"):
        rows.append(_row(f"{name} mean, ms", name, np.mean, first, second, seed))
        for label, share in QUANTILES.items():
            rows.append(_row(f"{name} {label}, ms", name, _quantile(share), first, second, seed))
    rows.append(_row("errors, %", "errors", np.mean, first, second, seed))
    rows.append(_row("requests/s", "requests", np.sum, first, second, seed, per_second=True))
    return rows


def _row(
    title: str,
    name: str,
    figure: Callable[[NDArray[np.float64]], Any],
    first: Run,
    second: Run,
    seed: int,
    *,
    per_second: bool = False,
) -> Row:
    blocks = [first.blocks[name], second.blocks[name]]

    def value(samples: Samples) -> float:
        joined = np.concatenate(samples) if samples else np.zeros(0)
        if not len(joined):
            return float("nan")
        return float(figure(joined)) / (len(samples) if per_second else 1)

    whole = [value(samples) for samples in blocks]
    interval = None
    if min(map(len, blocks)) >= LEAST_BLOCKS and np.isfinite(whole).all():
        interval = _interval(value, blocks, generator(seed, title))
    found = [one if np.isfinite(one) else None for one in whole]
    return Row(title, found[0], found[1], interval)


def _interval(
    value: Callable[[Samples], float], blocks: list[Samples], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the percentile interval of the difference."""
    drawn = np.array(
        [
            [
                value([samples[place] for place in rng.integers(0, len(samples), len(samples))])
                for samples in blocks
            ]
            for _ in range(DRAWS)
        ]
    )
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(drawn[:, 1] - drawn[:, 0], [tail, 1 - tail])
    return float(low), float(high)


def _cut(places: NDArray[np.int64], values: NDArray[np.float64], seconds: int) -> Samples:
    usable = (places >= 0) & (places < seconds) & np.isfinite(values)
    order = np.argsort(places[usable], kind="stable")
    borders = np.searchsorted(places[usable][order], np.arange(1, seconds))
    return np.split(values[usable][order], borders) if seconds else []


def _quantile(share: float) -> Callable[[NDArray[np.float64]], float]:
    return lambda values: float(np.quantile(values, share))
