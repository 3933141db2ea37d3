"""BARO's root cause scorer: the highest robust score of each indicator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.methods.deviation import highest_deviation
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from rca_benchmark.case import Observation


@method(
    name="baro",
    sources=("metrics",),
    paper="Pham, Ha, Zhang: BARO, FSE 2024",
    uses_inject_time=True,
    stochastic=False,
)
def baro(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = max over the anomalous window of (x - median) / IQR of the normal window.

    This is the paper's RobustScorer.

    Cost:
        O(N T) for the quartiles.

    Decisions:
        * The paper's change point detection is not part of this method: the inject time is given.
        * The score is signed, as in the authors' code: an indicator that only falls scores low.
        * An indicator without spread before the fault is measured relative to its median, so that
          no unit matters.

    Earlier implementations:
        * RCAEval 0.1, the study's code: where the IQR is 0 the value
          itself is the score, so that bytes outrank everything; indicators that are constant
          before the fault are deleted, also those that explode during it.

    Raises:
        MethodFailed: no indicator can be scored.
    """
    windows = split_windows(observation)
    low, center, high = np.nanquantile(windows.normal.to_numpy(), [0.25, 0.5, 0.75], axis=0)
    return rank_by_score(highest_deviation(windows, center, high - low), observation)
