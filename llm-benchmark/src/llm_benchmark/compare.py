"""Two runs side by side, with intervals that know how runs fluctuate.

Requests that are close in time share the server's state, so they are no independent draws. Whole
seconds of a run, or several together, are drawn instead, with replacement (non-overlapping block
bootstrap: Carlstein, The use of subseries values for estimating the variance of a general
statistic, Annals of Statistics 14, 1986), from both runs alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_benchmark.clock import SECOND_NS
from llm_benchmark.reports.run_page import read_summary
from llm_benchmark.reports.timeline import read_requests
from llm_benchmark.seeding import generator

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DRAWS = 1000
LEAST_BLOCKS = 10
MOST_BLOCKS = 300
LEVEL = 0.95
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
# Values are put into bins so many to a factor of e: a drawn quantile is off by 0.1 % at most.
BINS_PER_E = 512

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
    def ratio(self) -> float | None:
        """Second by first."""
        if not self.first or self.second is None:
            return None
        return self.second / self.first

    @property
    def decided(self) -> bool:
        """Whether the runs differ, as far as one can tell."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, slots=True)
class Run:
    """A run cut into blocks of whole seconds.

    Attributes:
        summary: Its summary.
        block_s: Length of a block, s.
        blocks: For each kind of value its values in each block of the window.
    """

    summary: dict[str, Any]
    block_s: int
    blocks: dict[str, Samples]


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        OptionError: The folder holds none.
    """
    summary = read_summary(folder)
    window = summary["window"]
    requests = read_requests(folder, window)
    seconds = (window["end_ns"] - window["start_ns"]) // SECOND_NS
    block_s = max(1, -(-seconds // MOST_BLOCKS))
    begin = (window["start_ns"] - window["run_start_ns"]) / SECOND_NS
    due, sent, end = (
        (requests.instants[name] - begin) / block_s for name in ("intended_ns", "sent_ns", "end_ns")
    )
    good, count = requests.good, seconds // block_s
    blocks = {
        "TTFT": _cut(due, requests.milliseconds("sent", "first_token"), count),
        "ITL": _cut(due, requests.per_token_ms(requests.events), count),
        "TPOT": _cut(due, requests.per_token_ms(requests.tokens), count),
        "end to end": _cut(due, requests.milliseconds("sent", "end"), count),
        "errors": _cut(due, np.where(good, 0.0, 100.0), count),
        "requests": _cut(sent, np.ones(len(sent)), count),
        "tokens": _cut(end, np.where(good, requests.tokens, np.nan), count),
    }
    return Run(summary, block_s, blocks)


def compare(first: Run, second: Run, *, seed: int = 0) -> list[Row]:
    """Return all figures of two runs.

    Args:
        first: What to compare with.
        second: What to compare.
        seed: Seed of the drawing.
    """
    rows = []
    for name in ("TTFT", "ITL", "TPOT", "end to end"):
        rows.append(_row(f"{name} mean, ms", name, _mean, first, second, seed))
        for label, share in QUANTILES.items():
            rows.append(_row(f"{name} {label}, ms", name, _quantile(share), first, second, seed))
    rows.append(_row("errors, %", "errors", _mean, first, second, seed))
    rows.append(_row("requests/s sent", "requests", _per_second, first, second, seed))
    rows.append(_row("output tokens/s", "tokens", _per_second, first, second, seed))
    return rows


# From the blocks, their length and how often each is drawn, shape (draws, blocks), to one figure
# for each draw; not a number: it has none.
Figure = Callable[[Samples, int, "NDArray[np.float64]"], "NDArray[np.float64]"]


def _row(title: str, name: str, figure: Figure, first: Run, second: Run, seed: int) -> Row:
    whole, drawn = [], []
    rng = generator(seed, title)
    for run in (first, second):
        samples = run.blocks[name]
        once = np.ones((1, len(samples)))
        whole.append(float(figure(samples, run.block_s, once)[0]) if samples else np.nan)
        if len(samples) >= LEAST_BLOCKS:
            equal = np.full(len(samples), 1 / len(samples))
            weights = rng.multinomial(len(samples), equal, DRAWS).astype(float)
            drawn.append(figure(samples, run.block_s, weights))
    interval = None
    if len(drawn) == len(whole) and np.isfinite(whole).all():
        tail = (1 - LEVEL) / 2
        low, high = np.nanquantile(drawn[1] - drawn[0], [tail, 1 - tail])
        interval = (float(low), float(high))
    found = [one if np.isfinite(one) else None for one in whole]
    return Row(title, found[0], found[1], interval)


def _mean(samples: Samples, _block_s: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = weights @ np.array([float(len(one)) for one in samples])
    sums = weights @ np.array([one.sum() for one in samples])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _per_second(
    samples: Samples, block_s: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    seconds = weights.sum(axis=1) * block_s
    rates: NDArray[np.float64] = weights @ np.array([one.sum() for one in samples]) / seconds
    return rates


def _quantile(share: float) -> Figure:
    def figure(
        samples: Samples, _block_s: int, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = np.concatenate(samples)
        if not len(values):
            return np.full(len(weights), np.nan)
        places = np.floor(np.log(np.maximum(values, 1e-6)) * BINS_PER_E).astype(int)
        bins, places = np.unique(places, return_inverse=True)
        owner = np.repeat(np.arange(len(samples)), [len(one) for one in samples])
        counts = np.zeros((len(samples), len(bins)))
        np.add.at(counts, (owner, places), 1)
        below = np.cumsum(weights @ counts, axis=1)
        ranks = np.ceil(share * below[:, -1])
        found = np.exp((bins[(below >= ranks[:, None]).argmax(axis=1)] + 0.5) / BINS_PER_E)
        return np.where(below[:, -1] > 0, found, np.nan)

    return figure


def _cut(places: NDArray[np.float64], values: NDArray[np.float64], blocks: int) -> Samples:
    """Return the values of each block, given where each lies in lengths of a block."""
    usable = np.isfinite(places) & np.isfinite(values) & (places >= 0) & (places < blocks)
    numbers = places[usable].astype(int)
    order = np.argsort(numbers, kind="stable")
    borders = np.searchsorted(numbers[order], np.arange(1, blocks))
    return np.split(values[usable][order], borders) if blocks else []
