"""Pearson's chi-square test of conditional independence of variables with few levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def chi_square(
    first: NDArray[np.int64], second: NDArray[np.int64], given: Sequence[NDArray[np.int64]] = ()
) -> tuple[float, float]:
    """Pearson's statistic and its p-value.

    One contingency table per combination of values of the conditioning variables; statistics and
    degrees of freedom add up. A row or column without a count takes no degree of freedom.

    Args:
        first: T levels, 0 or more.
        second: T levels, 0 or more.
        given: conditioning variables, T levels each.

    Returns:
        The statistic and its p-value. Where no table has a degree of freedom they are 0 and 1:
        the conditioning variables determine one of the two in the sample, so that its conditional
        mutual information with the other is 0.
    """
    from scipy.special import chdtrc

    shape = (int(first.max()) + 1, int(second.max()) + 1)
    cells = (_strata(given, len(first)) * shape[0] + first) * shape[1] + second
    counts = np.bincount(cells)
    counts = np.append(counts, np.zeros(-len(counts) % (shape[0] * shape[1]), dtype=np.int64))
    tables = counts.reshape(-1, *shape)
    rows, columns, totals = tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))
    freedom = int((((rows > 0).sum(axis=1) - 1) * ((columns > 0).sum(axis=1) - 1)).sum())
    if freedom == 0:
        return 0.0, 1.0
    # sum (n - e)^2 / e over the cells with e > 0, as sum n^2 / e - total: fewer steps.
    product = rows[:, :, None] * columns[:, None, :]
    squares = np.where(product > 0, tables**2 / np.maximum(product, 1), 0.0)
    statistic = float((squares.sum(axis=(1, 2)) * totals).sum() - len(first))
    statistic = max(statistic, 0.0)
    return statistic, float(chdtrc(freedom, statistic))


def _strata(given: Sequence[NDArray[np.int64]], rows: int) -> NDArray[np.int64]:
    """For each row the number of its combination of values, without unused numbers."""
    combined = np.zeros(rows, dtype=np.int64)
    for levels in given:
        combined = combined * (int(levels.max()) + 1) + levels
        combined = np.unique(combined, return_inverse=True)[1]
    return combined
