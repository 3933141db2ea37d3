"""N-sigma over metrics, logs and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.methods.deviation import mean_and_deviation
from rca_benchmark.methods.multi_source import rank_over_sources
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking


@method(
    name="mmnsigma",
    sources=("metrics", "logs", "traces"),
    paper="Pham et al.: RCAEval, WWW 2025 (companion); 3-sigma rule",
    uses_inject_time=True,
    stochastic=False,
)
def mmnsigma(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the highest standard score of any of their series, from all sources.

    As ``mmbaro``, with mean and standard deviation instead of median and IQR.

    Cost:
        O(T (N + S + P)) for N indicators, S services and P operations; counting lines and spans
        dominates.

    Decisions:
        * The same as those of ``mmbaro``.

    Raises:
        MethodFailed: there is no inject time, no candidate has an indicator, or a standard
            deviation overflows.
    """
    return rank_over_sources(observation, mean_and_deviation)
