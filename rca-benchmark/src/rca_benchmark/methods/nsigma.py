"""N-sigma: the highest standard score of each indicator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.methods.deviation import standard_scores
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from rca_benchmark.case import Observation


@method(
    name="nsigma",
    sources=("metrics",),
    paper="3-sigma rule; as a baseline in Li et al., CIRCA, KDD 2022",
    uses_inject_time=True,
    stochastic=False,
)
def nsigma(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = max over the anomalous window of (x - mean) / std of the normal window.

    Cost:
        O(N T).

    Decisions:
        * The score is signed, as in the earlier implementations: an indicator that only falls
          scores low. ``max_z`` takes the absolute value.
        * An indicator without spread before the fault is measured relative to its mean, so that no
          unit matters.

    Earlier implementations:
        * RCAEval 0.1, the study's code: where the standard deviation is 0 the value
          itself is the score; indicators that are constant before the fault are deleted.

    Raises:
        MethodFailed: no indicator can be scored, or a standard deviation overflows.
    """
    windows = split_windows(observation)
    highest = np.nanmax(standard_scores(windows), axis=0)
    return rank_by_score(dict(zip(windows.indicators, highest, strict=True)), observation)
