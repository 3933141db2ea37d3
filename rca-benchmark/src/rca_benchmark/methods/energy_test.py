"""The two-sample energy test of many indicators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERMUTATIONS: Final = 199


def energy_tests(
    normal: NDArray[np.float64], anomalous: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How unlike the two windows of each indicator are, and how often chance does as much.

    Székely and Rizzo 2013, Energy statistics, section 6. With D = 2 E|X - Y| - E|X - X'| -
    E|Y - Y'| the statistic is H = D / (2 E|X - Y|): 0 for equal, 1 for single, different values,
    whatever the unit. In one dimension D is twice the integral of (F - G)^2 over the two empirical
    distributions, so one sort serves all permutations. The p-value is the share of ``PERMUTATIONS``
    random divisions of the pooled values, the true one included, with a D at least as large.

    Args:
        normal: rows x N, with gaps, at least one value in each column.
        anomalous: rows x N, likewise.
        rng: makes the divisions; indicators with equally many values share them.

    Returns:
        H and p-value, length N each.
    """
    count = normal.shape[1]
    statistics, p_values = np.empty(count), np.empty(count)
    sizes = np.column_stack([(~np.isnan(normal)).sum(axis=0), (~np.isnan(anomalous)).sum(axis=0)])
    for before, after in np.unique(sizes, axis=0):
        labels = np.repeat([1 / before, -1 / after], [before, after])
        divisions = rng.permuted(np.tile(labels, (PERMUTATIONS, 1)), axis=1)
        for column in np.flatnonzero((sizes == (before, after)).all(axis=1)):
            first, second = normal[:, column], anomalous[:, column]
            pooled = np.concatenate([first[~np.isnan(first)], second[~np.isnan(second)]])
            statistics[column], p_values[column] = _energy_test(pooled, labels, divisions)
    return statistics, p_values


def _energy_test(
    pooled: NDArray[np.float64], labels: NDArray[np.float64], divisions: NDArray[np.float64]
) -> tuple[float, float]:
    """Of one indicator: H and p-value; ``labels`` weigh the values by window, sum 0."""
    order = np.argsort(pooled, kind="stable")
    values = pooled[order] / np.abs(pooled).max()
    gaps = np.diff(values)
    distance = 2 * (np.cumsum(labels[order])[:-1] ** 2 @ gaps)
    chance = 2 * (np.cumsum(divisions, axis=1)[:, :-1] ** 2 @ gaps)
    normal = labels[order] > 0
    below = np.cumsum(normal)[:-1] / normal.sum()
    under = np.cumsum(~normal)[:-1] / (~normal).sum()
    between = (below * (1 - under) + under * (1 - below)) @ gaps
    as_large = int((chance >= distance * (1 - 1e-9)).sum())
    return float(distance / (2 * between)), (1 + as_large) / (1 + len(divisions))
