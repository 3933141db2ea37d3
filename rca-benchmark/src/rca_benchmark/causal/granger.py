"""Granger causality between all pairs of series at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.series import SINGULAR
from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAGS: Final = 3
ALPHA: Final = 0.05


def granger_p_values(values: NDArray[np.float64], lags: int = LAGS) -> NDArray[np.float64]:
    """P-values of the F test that the past of one series helps to predict another.

    Granger, Econometrica 1969. For each number of lags L, the regression of y on a constant and L
    own lags is compared with that on L lags of x as well; F = ((SSR0 - SSR1) / L) /
    (SSR1 / (n - 2 L - 1)) over the n = T - L rows that have all lags. It is statsmodels'
    ``ssr_ftest``. Own lags are projected out once per target (QR); the gain in explained variance
    of every source then comes from an L x L elimination, done for all pairs together.

    Args:
        values: T x N.
        lags: largest number of lags.

    Returns:
        lags x N x N: ``[L - 1, i, j]`` is the p-value of "i causes j" with L lags; 1 where there is
        nothing to test: too few rows, lags that determine each other, a perfect fit, i = j.

    Raises:
        MethodFailed: there are too few rows for even one lag.
    """
    if len(values) < 5:
        raise MethodFailed(f"{len(values)} rows are too few for a test of Granger causality")
    count = values.shape[1]
    found = np.ones((lags, count, count))
    for lag in range(1, lags + 1):
        if len(values) - 3 * lag - 1 > 0:
            found[lag - 1] = _p_values(values, lag)
    found[:, np.arange(count), np.arange(count)] = 1.0
    return found


def granger_causes(
    values: NDArray[np.float64],
    *,
    alpha: float = ALPHA,
    lags: int = LAGS,
    false_discovery_rate: bool = False,
) -> NDArray[np.bool_]:
    """Which series causes which: ``[i, j]`` says that i causes j with some number of lags.

    Args:
        values: T x N.
        alpha: significance, or the share of false discoveries.
        lags: largest number of lags; 1 to ``lags`` are tried.
        false_discovery_rate: correct for all tests together (Benjamini, Hochberg 1995).

    Raises:
        MethodFailed: there are too few rows.
    """
    p_values = granger_p_values(values, lags)
    if false_discovery_rate:
        ordered = np.sort(p_values, axis=None)
        within = ordered <= alpha * np.arange(1, ordered.size + 1) / ordered.size
        alpha = float(np.nextafter(ordered[within].max(initial=0.0), 1.0))
    causes: NDArray[np.bool_] = np.asarray(p_values.min(axis=0) < alpha)
    return causes


def _p_values(values: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    from scipy.special import fdtrc

    rows = len(values) - lag
    past = np.stack([values[lag - back : len(values) - back] for back in range(1, lag + 1)], axis=2)
    past = past - past.mean(axis=0)  # rows x N x lag; centered, which stands for the constant
    now = values[lag:] - values[lag:].mean(axis=0)
    own, testable = _basis(past)
    explained = np.einsum("jnk,nj->jk", own, now)
    residual = now - np.einsum("jnk,jk->nj", own, explained)
    unexplained = (residual**2).sum(axis=0)  # SSR0 of each target
    testable &= unexplained > SINGULAR * np.maximum((now**2).sum(axis=0), np.finfo(float).tiny)
    gain, feasible = _gain(past, own, residual)
    left = unexplained[:, None] - gain  # SSR1
    feasible &= testable[:, None] & (left > SINGULAR * unexplained[:, None])
    freedom = rows - 2 * lag - 1
    statistic = np.where(feasible, gain / lag, 0.0) / np.where(feasible, left / freedom, 1.0)
    p_values: NDArray[np.float64] = np.where(feasible, fdtrc(lag, freedom, statistic), 1.0).T
    return p_values


def _basis(past: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Orthonormal basis of each series' own lags (N x rows x lag); whether they are independent."""
    columns = np.ascontiguousarray(past.transpose(1, 0, 2))
    basis, triangle = np.linalg.qr(columns)
    left = np.diagonal(triangle, axis1=1, axis2=2) ** 2
    independent: NDArray[np.bool_] = (
        left > SINGULAR * np.maximum((columns**2).sum(axis=1), np.finfo(float).tiny)
    ).all(axis=1)
    return basis, independent


def _gain(
    past: NDArray[np.float64], own: NDArray[np.float64], residual: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How much of each target's residual each source's lags explain; both targets x sources."""
    rows, count, lag = past.shape
    flat = past.reshape(rows, count * lag)
    shared = (own.transpose(0, 2, 1) @ flat).reshape(count, lag, count, lag)
    gram = np.einsum("nia,nib->iab", past, past)
    size = np.maximum(np.einsum("iaa->ia", gram), np.finfo(float).tiny)
    left = gram[None] - np.einsum("jkia,jkib->jiab", shared, shared)
    moment = (residual.T @ flat).reshape(count, count, lag)
    gain = np.zeros((count, count))
    feasible = np.ones((count, count), dtype=bool)
    for place in range(lag):  # Gaussian elimination of all L x L systems, one lag at a time
        pivot = left[:, :, place, place]
        feasible &= pivot > SINGULAR * size[:, place]
        safe = np.where(feasible, pivot, 1.0)
        gain += moment[:, :, place] ** 2 / safe
        factor = left[:, :, place, :] / safe[:, :, None]
        moment = moment - factor * moment[:, :, place, None]
        left = left - factor[:, :, :, None] * left[:, :, place, None, :]
    return gain, feasible
