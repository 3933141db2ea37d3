"""Fisher's z test of a partial correlation, for many conditioning sets at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.series import SINGULAR

if TYPE_CHECKING:
    from numpy.typing import NDArray


def critical_correlation(rows: int, conditions: int, alpha: float) -> float:
    """The size from which a partial correlation differs from 0: tanh(z / sqrt(T - |S| - 3)).

    Fisher 1924: atanh of a partial correlation given |S| variables is nearly normal with variance
    1 / (T - |S| - 3); z is the 1 - alpha / 2 quantile of the standard normal distribution.

    Args:
        rows: T, from how many the correlations were computed.
        conditions: |S|, how many variables are held fixed.
        alpha: level of the two-sided test.

    Returns:
        Between 0 and 1; 0, which no correlation is below, where the rows are too few for a test.
    """
    from scipy.special import ndtri

    freedom = rows - conditions - 3
    return float(np.tanh(ndtri(1 - alpha / 2) / np.sqrt(freedom))) if freedom > 0 else 0.0


def independent_of_last(
    blocks: NDArray[np.float64], sets: NDArray[np.int64], critical: float
) -> NDArray[np.bool_]:
    """Whether the last variable of a block is independent of each other one, given each set.

    One step of the Cholesky factorisation per member of the set takes its part out of all
    variables of the block; what is left of the covariance is tested without any division.

    Args:
        blocks: G x (K + 1) x (K + 1), the correlations of K + 1 variables each.
        sets: M x D, positions of the variables that are held fixed, each less than K.
        critical: from ``critical_correlation``.

    Returns:
        G x M x K. False where there is no test: for members of the set, and where less than
        ``SINGULAR`` is left of the variance of one of the two or of a member of the set.
    """
    count, depth = sets.shape
    each = np.arange(count)
    covariance = np.repeat(blocks[:, None, -1, :], count, axis=1)
    left = np.ones_like(covariance)
    testable = np.ones((len(blocks), count), dtype=bool)
    factors: list[NDArray[np.float64]] = []
    for place in range(depth):
        member = sets[:, place]
        factor = blocks[:, member]
        for before in factors:
            factor -= before[:, each, member][..., None] * before
        pivot = factor[:, each, member]
        testable &= pivot > SINGULAR
        factor /= np.sqrt(np.where(testable, pivot, 1.0))[..., None]
        covariance -= factor[..., -1:] * factor
        left -= factor**2
        factors.append(factor)
    own, left = left[..., -1:], left[..., :-1]
    testable = testable[..., None] & (own > SINGULAR) & (left > SINGULAR)
    small: NDArray[np.bool_] = covariance[..., :-1] ** 2 < critical**2 * own * left
    return testable & small


def independent_pair(
    correlations: NDArray[np.float64],
    pair: tuple[int, int],
    sets: NDArray[np.int64],
    critical: float,
) -> NDArray[np.bool_]:
    """Whether two variables are independent given each set.

    Args:
        correlations: N x N.
        pair: the two variables.
        sets: M x D variables that are held fixed; neither of the two is among them.
        critical: from ``critical_correlation``.

    Returns:
        M. False where there is no test, as in ``independent_of_last``.
    """
    both = np.broadcast_to(np.array(pair), (len(sets), 2))
    variables = np.column_stack([sets, both])
    left = correlations[variables[:, :, None], variables[:, None, :]]
    testable = np.ones(len(sets), dtype=bool)
    for _ in range(sets.shape[1]):
        pivot, column = left[:, 0, 0], left[:, 1:, 0]
        testable &= pivot > SINGULAR
        scaled = column / np.where(testable, pivot, 1.0)[:, None]
        left = left[:, 1:, 1:] - scaled[:, :, None] * column[:, None, :]
    testable &= (left[:, 0, 0] > SINGULAR) & (left[:, 1, 1] > SINGULAR)
    small: NDArray[np.bool_] = left[:, 0, 1] ** 2 < critical**2 * left[:, 0, 0] * left[:, 1, 1]
    return testable & small
