"""How sure a score is, and whether two methods differ: intervals and paired comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Z95: Final = 1.959963984540054  # two-sided 95 % of the normal distribution
RESAMPLES: Final = 2000
_BLOCK: Final = 1_000_000  # drawn indices held at a time

_PAIRED: Final = ["dataset", "case", "fault", "target", "tdelta", "length"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How much better the first method is than the second, on the same cases.

    Attributes:
        difference: mean of first less second.
        interval: 95 %, bootstrap over cases.
        p_value: two-sided exact McNemar of AC@1.
        first_only: cases that only the first gets right at AC@1.
        second_only: cases that only the second gets right at AC@1.
        cases: number of cases that both have.
    """

    difference: float
    interval: Interval
    p_value: float
    first_only: int
    second_only: int
    cases: int


def wilson(mean: float, cases: int, z: float = Z95) -> Interval:
    """Wilson's score interval of a mean of ``cases`` values in [0, 1].

    Exact in its assumptions for a share (AC@k). For Avg@5 and MRR it is on the wide side, for a
    value between 0 and 1 varies at most as much as a yes or no with the same mean. Unlike the
    bootstrap it has a width where all cases score alike.

    Source: Wilson, JASA 22 (1927).

    Raises:
        ValueError: no case, or a mean outside [0, 1].
    """
    if cases < 1 or not 0 <= mean <= 1:
        raise ValueError(f"a mean of {mean} over {cases} cases has no Wilson interval")
    shrink = 1 + z * z / cases
    center = (mean + z * z / (2 * cases)) / shrink
    half = z / shrink * math.sqrt(mean * (1 - mean) / cases + z * z / (4 * cases * cases))
    # The mean lies inside; rounding may say otherwise where it is 0 or 1.
    return Interval(min(mean, max(0.0, center - half)), max(mean, min(1.0, center + half)))


def bootstrap_mean(
    values: ArrayLike, *, seed: int, resamples: int = RESAMPLES, confidence: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of the mean; the same seed gives the same interval.

    Source: Efron, Annals of Statistics 7 (1979).

    Args:
        values: one per case, shape (cases,).
        seed: of the resampling.
        resamples: how often the cases are drawn anew.
        confidence: between 0 and 1.

    Raises:
        ValueError: there is no value.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("no value to resample")
    means = _resampled_means(data, seed, resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def mcnemar(first: ArrayLike, second: ArrayLike) -> tuple[int, int, float]:
    """Exact two-sided McNemar test on the same cases.

    Source: McNemar, Psychometrika 12 (1947), with the exact binomial tail.

    Args:
        first: right or wrong, shape (cases,).
        second: right or wrong, the same cases in the same order.

    Returns:
        Cases that only the first gets right, cases that only the second does, and p: 1 where
        there is neither.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"not the same cases: {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    total = only_a + only_b
    tail = sum(math.comb(total, count) for count in range(min(only_a, only_b) + 1))
    return only_a, only_b, min(1.0, 2 * tail / 2**total)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for the number of tests, in the order given.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p_values[index]))
        corrected[index] = highest
    return corrected


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    first_right: ArrayLike,
    second_right: ArrayLike,
    seed: int,
    resamples: int = RESAMPLES,
) -> Difference:
    """Compare two methods on the same cases.

    Args:
        first: a score per case, shape (cases,), say Avg@5.
        second: the same cases in the same order.
        first_right: AC@1 per case, for McNemar.
        second_right: AC@1 per case.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        ValueError: the shapes differ, or there is no case.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"not the same cases: {a.shape} and {b.shape}")
    only_first, only_second, p_value = mcnemar(first_right, second_right)
    interval = bootstrap_mean(a - b, seed=seed, resamples=resamples)
    mean = float((a - b).mean())
    return Difference(mean, interval, p_value, only_first, only_second, a.size)


def compare_methods(
    scored: pd.DataFrame, *, score: str = "avg5", seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Every pair of methods on the cases that both have, with Holm's correction over all pairs.

    Args:
        scored: rows of ``scoring.score_cases`` of one level; filter by data set, fault or target
            before.
        score: the column that the difference is of.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        ``first, second, cases, difference, low, high, first_only, second_only, p_value, p_holm``,
        one row per pair, ``first`` before ``second`` by name. Pairs without a case in common are
        left out.

    Raises:
        ValueError: a method has two rows for the same case and configuration.
    """
    right = _by_case(scored, "ac1")
    values = _by_case(scored, score)
    rows = []
    for first, second in combinations(values.columns, 2):
        both = values[[first, second]].notna().all(axis=1)
        if not both.any():
            continue
        found = paired_difference(
            values.loc[both, first],
            values.loc[both, second],
            first_right=right.loc[both, first],
            second_right=right.loc[both, second],
            seed=seed,
            resamples=resamples,
        )
        rows.append(
            (
                *(first, second, found.cases, found.difference),
                *(found.interval.low, found.interval.high),
                *(found.first_only, found.second_only, found.p_value),
            )
        )
    names = ["first", "second", "cases", "difference", "low", "high"]
    table = pd.DataFrame(rows, columns=[*names, "first_only", "second_only", "p_value"])
    return table.assign(p_holm=holm(table["p_value"].tolist()))


def _by_case(scored: pd.DataFrame, score: str) -> pd.DataFrame:
    """Cases x methods; a length of null (all rows) is a value like any other."""
    keys = scored[_PAIRED].astype("str").fillna("all")
    table = keys.assign(method=scored["method"], value=scored[score].astype("float64"))
    if table.duplicated([*_PAIRED, "method"]).any():
        raise ValueError("a method has two rows for the same case and configuration")
    return table.pivot_table(index=_PAIRED, columns="method", values="value").sort_index(axis=1)


def _resampled_means(data: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    at_once = max(1, _BLOCK // data.size)
    means = []
    for start in range(0, resamples, at_once):
        drawn = rng.integers(data.size, size=(min(at_once, resamples - start), data.size))
        means.append(data[drawn].mean(axis=1))
    return np.concatenate(means)
