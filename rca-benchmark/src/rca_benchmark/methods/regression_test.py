"""CIRCA's regression-based hypothesis test and its descendant adjustment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.series import SINGULAR
from rca_benchmark.methods.deviation import standard_scores
from rca_benchmark.preprocess import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMAS: Final = 3.0
ROWS_PER_CAUSE: Final = 10


def standardised(windows: Windows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both windows in units of the normal one: (x - mean) / std, rows x indicators.

    Raises:
        MethodFailed: a standard deviation overflows.
    """
    before = Windows(windows.normal, windows.normal, windows.constant, windows.empty)
    return standard_scores(before), standard_scores(windows)


def residual_scores(
    normal: NDArray[np.float64], anomalous: NDArray[np.float64], causes: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How far each indicator leaves what its causes explain: max |standardised residual|.

    Li et al., KDD 2022, section 4.2: least squares on the normal window, residuals standardised by
    their mean and standard deviation there, maximum over the anomalous window. An indicator
    without causes scores its largest absolute standard score.

    Only rows in which an indicator and all its causes have values are used. Of more causes than
    one per ``ROWS_PER_CAUSE`` rows the most correlated are kept. A residual varies at least by
    ``SINGULAR`` of the indicator's variance, however well its causes explain it.

    Args:
        normal: rows x N, standardised, with gaps.
        anomalous: rows x N, in the units of ``normal``.
        causes: N x N, ``causes[i, j]``: i is a cause of j.

    Returns:
        Length N, 0 or more.
    """
    scores: NDArray[np.float64] = np.nanmax(np.abs(anomalous), axis=0)
    varies = np.nanmax(np.abs(normal), axis=0) > 0
    for effect in np.flatnonzero(causes.any(axis=0) & varies):
        parents = np.flatnonzero(causes[:, effect] & varies)
        found = _residual_score(normal, anomalous, int(effect), parents)
        scores[effect] = scores[effect] if found is None else found
    return scores


def anomalous_from(rows: int) -> float:
    """The score from which an indicator is anomalous.

    The maximum over that many rows of normal noise exceeds it as rarely as a single row exceeds
    ``SIGMAS`` (Bonferroni).
    """
    from scipy.special import ndtr, ndtri

    return float(-ndtri(ndtr(-SIGMAS) / rows))


def adjust_for_descendants(
    scores: NDArray[np.float64], causes: NDArray[np.bool_], threshold: float
) -> NDArray[np.float64]:
    """Add to each anomalous score the largest one among its effects.

    Li et al., KDD 2022, section 4.3: a root cause that stays unremarkable next to what it causes
    is lifted above it. Effects that are not anomalous themselves are looked through to theirs.

    Args:
        scores: length N, 0 or more.
        causes: N x N, ``causes[i, j]``: i is a cause of j. Cycles are allowed.
        threshold: from which a score is anomalous.
    """
    reached = causes.copy()
    quiet = scores < threshold
    while True:
        further = reached | (reached[:, quiet].astype(np.int64) @ causes[quiet] > 0)
        if (further == reached).all():
            break
        reached = further
    np.fill_diagonal(reached, val=False)
    best = np.where(reached, scores, 0.0).max(axis=1, initial=0.0)
    adjusted: NDArray[np.float64] = np.where(quiet, scores, scores + best)
    return adjusted


def _residual_score(
    normal: NDArray[np.float64],
    anomalous: NDArray[np.float64],
    effect: int,
    parents: NDArray[np.int64],
) -> float | None:
    """None where there are too few complete rows or no cause is left."""
    rows = ~np.isnan(normal[:, [effect, *parents]]).any(axis=1)
    target, values = normal[rows, effect], normal[np.ix_(rows, parents)]
    if not parents.size or len(target) < 2 * ROWS_PER_CAUSE:
        return None
    likeness = np.abs((target - target.mean()) @ (values - values.mean(axis=0)))
    most = len(target) // ROWS_PER_CAUSE
    chosen = np.sort(np.argsort(-likeness, kind="stable")[:most])
    design = np.column_stack([np.ones(len(target)), values[:, chosen]])
    weights = np.linalg.lstsq(design, target, rcond=None)[0]
    spread = max(float(np.std(target - design @ weights)), SINGULAR**0.5)
    explained = weights[0] + anomalous[:, parents[chosen]] @ weights[1:]
    left = np.abs(anomalous[:, effect] - explained)
    return None if np.isnan(left).all() else float(np.nanmax(left)) / spread
