"""A baseline: the largest absolute standard score of each indicator."""

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
    name="max_z",
    sources=("metrics",),
    paper="max |z|; as a baseline in arXiv 2606.29159",
    uses_inject_time=True,
    stochastic=False,
)
def max_z(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = max over the anomalous window of |x - mean| / std of the normal window.

    Unlike ``nsigma``, an indicator that only falls scores as high as one that rises. Okati et al.,
    arXiv 2406.05014, show that without a graph the highest marginal anomaly score is a justified
    guess where causes form a polytree.

    Cost:
        O(N T).

    Raises:
        MethodFailed: no indicator can be scored, or a standard deviation overflows.
    """
    windows = split_windows(observation)
    highest = np.nanmax(np.abs(standard_scores(windows)), axis=0)
    return rank_by_score(dict(zip(windows.indicators, highest, strict=True)), observation)
