"""HT: the regression-based hypothesis test without a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.series import SINGULAR
from rca_benchmark.causal.shrinkage import shrunk_covariance
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.regression_test import standardised
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation


@method(
    name="ht",
    sources=("metrics",),
    paper="Hypothesis test of CIRCA, KDD 2022; given all others: arXiv 2510.06995",
    uses_inject_time=True,
    stochastic=False,
)
def ht(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = largest residual that all other indicators leave, standardised.

    The hypothesis test of CIRCA (Li et al., KDD 2022, section 4.2) without its graph: each
    indicator is regressed on all others over the normal window; its score is the largest absolute
    residual of the anomalous window, standardised by the normal residuals. That is the precision
    matrix times the anomalous observation. In a linear system, cycles included, this is large in
    expectation only at the root cause and its causes (Schkoda and Janzing, arXiv 2510.06995):
    effects follow from the others as before. ``max_z``, in contrast, is large at all effects.

    Cost:
        O(T N^2 + N^3), one inverse for all regressions.

    Decisions:
        * PyRCA's HT is CIRCA's test on a learnt graph without descendant adjustment. Here it is
          the test that needs no graph, which makes it something else than ``circa``.
        * The covariance is shrunk as by Ledoit and Wolf (2004), so that no setting has to be
          chosen and more indicators than rows can be answered; the authors of arXiv 2510.06995 use
          the graphical lasso.
        * Residuals are standardised by their own standard deviation in the normal window, as in
          CIRCA, and not by the one that the shrunk covariance implies.
        * An indicator that is constant in the normal window takes no part in the regressions and
          has its plain score, as in ``max_z``.
        * A gap counts as the mean of the normal window: it shows nothing.

    Earlier implementations:
        * PyRCA, the study's code: the graph of PC at level 0.01 or of FGES decides what an
          indicator is regressed on; the three best are returned.

    Raises:
        MethodFailed: there is no inject time, no indicator of a candidate can be scored, or a
            standard deviation overflows.
    """
    windows = split_windows(observation)
    scores = scores_given_all_others(*standardised(windows))
    return rank_by_score(dict(zip(windows.indicators, scores, strict=True)), observation)


def scores_given_all_others(
    normal: NDArray[np.float64], anomalous: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The largest |residual| of each indicator's regression on all others, standardised; length N.

    With the inverse P of the covariance, row t of x P holds the residuals of all regressions at
    once, each times P's diagonal. An indicator that does not vary in the normal window takes no
    part in them and scores its largest absolute standard score.

    Args:
        normal: rows x N, standardised, with gaps, which count as the mean.
        anomalous: rows x N, in the units of ``normal``.
    """
    scores: NDArray[np.float64] = np.nanmax(np.abs(anomalous), axis=0)
    varies = np.nanmax(np.abs(normal), axis=0) > 0
    if not varies.any():
        return scores
    before, after = np.nan_to_num(normal[:, varies]), np.nan_to_num(anomalous[:, varies])
    precision = np.linalg.inv(shrunk_covariance(before))
    weights = precision / np.diag(precision)
    spread = np.maximum(np.std(before @ weights, axis=0), SINGULAR**0.5)
    scores[varies] = np.abs(after @ weights).max(axis=0) / spread
    return scores
