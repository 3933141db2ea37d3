"""A baseline: the service with most indicators in alarm."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.methods.deviation import standard_scores
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

SIGMAS: Final = 3.0


@method(
    name="alert_count",
    sources=("metrics",),
    paper="number of 3-sigma alerts; as a baseline in arXiv 2606.29159",
    uses_inject_time=True,
    stochastic=False,
)
def alert_count(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the number of their indicators that leave 3 sigma of the normal window.

    Indicators are ordered by the number of rows of the anomalous window in which they do, which
    also decides between services with as many.

    Raises:
        MethodFailed: no indicator can be scored, or a standard deviation overflows.
    """
    windows = split_windows(observation)
    rows = (np.abs(standard_scores(windows)) > SIGMAS).sum(axis=0)
    counts = {name: float(count) for name, count in zip(windows.indicators, rows, strict=True)}
    alerts: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for name in candidate_indicators(observation):
        alerts[service_of(name)] += counts.get(name, 0.0) > 0
        seen[service_of(name)] += int(counts.get(name, 0.0))
    most = sum(seen.values()) + 1
    scores = {service: alerts[service] + seen[service] / most for service in alerts}
    return rank_by_service(scores, counts, observation)
