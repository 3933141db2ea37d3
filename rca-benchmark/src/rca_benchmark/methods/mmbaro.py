"""BARO's scorer over metrics, logs and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.methods.multi_source import rank_over_sources
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking


@method(
    name="mmbaro",
    sources=("metrics", "logs", "traces"),
    paper="Pham et al.: RCAEval, WWW 2025 (companion); scorer of BARO, FSE 2024",
    uses_inject_time=True,
    stochastic=False,
)
def mmbaro(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the highest robust score of any of their series, from all sources.

    The score of a series is BARO's: max over the fault of (x - median) / IQR before it. Series are
    the indicators, log lines per step (all; level ERROR), failed spans per step and the mean
    duration per operation and step. Indicators are ordered within their service by their own score.

    Cost:
        O(T (N + S + P)) for N indicators, S services and P operations; counting lines and spans
        dominates.

    Decisions:
        * Scores of different sources are compared as they are, as published.
        * A count's scale is at least one event: quartiles of rare events are equal, and their
          raw counts would outscore everything.
        * Durations per operation are durations; the study's code reads counts of successful
          spans under that name.
        * Lines and spans are cut to the same window as the metrics.

    Earlier implementations:
        * The study's code: counts of spans with status 2xx are taken for latencies, and where
          the IQR is 0 raw counts are compared with scores; busy services come first.

    Raises:
        MethodFailed: there is no inject time, or no candidate has an indicator.
    """
    return rank_over_sources(observation, _median_and_iqr)


def _median_and_iqr(
    normal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, center, high = np.nanquantile(normal, [0.25, 0.5, 0.75], axis=0)
    return center, high - low
