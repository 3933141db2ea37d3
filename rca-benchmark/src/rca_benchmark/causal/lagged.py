"""Partial correlations among lagged series, from one correlation matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.series import SINGULAR, independent_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def lagged_correlations(values: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Correlations of N series at lags 0 ... ``lags``, all over the last T - ``lags`` rows.

    Args:
        values: T x N.
        lags: largest lag, in rows; less than T.

    Returns:
        M x M for M = N (lags + 1): series i at lag k is number k N + i. Row and column of one that
        does not vary in its rows are 0.
    """
    rows, count = len(values) - lags, values.shape[1]
    shifted = [values[lags - lag : len(values) - lag] for lag in range(lags + 1)]
    columns = np.concatenate(shifted, axis=1).reshape(rows, count * (lags + 1))
    columns -= columns.mean(axis=0)
    spread = np.sqrt((columns**2).mean(axis=0))
    varies = spread > 100 * np.finfo(np.float64).eps
    columns *= varies / np.where(varies, spread, 1.0)
    found: NDArray[np.float64] = columns.T @ columns / rows
    return found


def partial_correlations(
    correlations: NDArray[np.float64],
    target: int,
    others: NDArray[np.int64],
    given: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Correlations of one variable with others, when the same ones are held fixed for all.

    Args:
        correlations: M x M; rows of 0 stand for what does not vary.
        target: a variable.
        others: P variables.
        given: those held fixed; one that the others of them determine changes nothing.

    Returns:
        P. 0 where less than ``SINGULAR`` is left of the variance of one of the two.
    """
    held, factor = factorised(correlations, given)
    both = np.append(others, target)
    explained = np.linalg.solve(factor, correlations[np.ix_(held, both)])
    left = correlations[both, both] - (explained**2).sum(axis=0)
    moment = correlations[others, target] - explained[:, -1] @ explained[:, :-1]
    return normalised(moment, left[:-1], left[-1])


def correlations_without_each(
    correlations: NDArray[np.float64], target: int, members: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correlations of one variable with each member of a set, given all of the other members.

    Args:
        correlations: M x M.
        target: a variable.
        members: P variables.

    Returns:
        P. 0 where less than ``SINGULAR`` is left of the variance of one of the two.
    """
    both = np.append(members, target)
    held, factor = factorised(correlations, both)
    if len(held) == len(both):
        inverse = np.linalg.inv(factor)
        precision = inverse.T @ inverse
        own = precision.diagonal()
        found: NDArray[np.float64] = -precision[-1, :-1] / np.sqrt(own[:-1] * own[-1])
        return np.clip(found, -1.0, 1.0)
    each = [
        partial_correlations(correlations, target, members[[place]], np.delete(members, place))
        for place in range(len(members))
    ]
    return np.concatenate(each)


def factorised(
    correlations: NDArray[np.float64], given: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The variables of a set that no others of it determine, and their Cholesky factor."""
    block = correlations[np.ix_(given, given)]
    try:
        factor: NDArray[np.float64] = np.linalg.cholesky(block).astype(np.float64, copy=False)
        if (factor.diagonal() ** 2 > SINGULAR).all():
            return given, factor
    except np.linalg.LinAlgError:
        pass
    varying = np.flatnonzero(block.diagonal() > 0)
    chosen = varying[independent_columns(block[np.ix_(varying, varying)], len(given) + 2)]
    factor = np.linalg.cholesky(block[np.ix_(chosen, chosen)]).astype(np.float64, copy=False)
    return given[chosen], factor


def normalised(
    moment: NDArray[np.float64],
    left: NDArray[np.float64],
    own: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Covariances as correlations; 0 where less than ``SINGULAR`` is left of a variance."""
    testable = (left > SINGULAR) & (own > SINGULAR)
    size = np.sqrt(np.where(testable, left * own, 1.0))
    return np.clip(np.where(testable, moment, 0.0) / size, -1.0, 1.0)


def p_values(correlations: NDArray[np.float64], freedom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two-sided p-values of Student's t test that a partial correlation is 0.

    Args:
        correlations: any shape.
        freedom: rows less the number of variables of the test; of the same shape.

    Returns:
        The same shape; 1 where no freedom is left.
    """
    from scipy.special import stdtr

    testable = freedom > 0
    known = np.where(testable, freedom, 1)
    rest = np.maximum(1.0 - correlations**2, np.finfo(np.float64).eps)
    found = 2.0 * stdtr(known, -np.abs(correlations) * np.sqrt(known / rest))
    return np.where(testable, found, 1.0)
