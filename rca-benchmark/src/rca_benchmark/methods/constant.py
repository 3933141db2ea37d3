"""A baseline that reads no telemetry: always the most frequent service."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rca_benchmark.case import service_of
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation


@method(
    name="constant",
    sources=("topology",),
    paper="constant answer: the service with most edges of the topology",
    uses_inject_time=False,
    stochastic=False,
)
def constant(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the number of topology edges that they end or begin, most first.

    What is equal goes by the number of the service's indicators, then by name. No value of any
    indicator, log or span is read, and no ground truth: the answer is the same for every case of
    a stack. Which service is the target most often would be ground truth, and is not used.

    Raises:
        MethodFailed: no candidate service has an indicator.
    """
    edges = Counter([*observation.topology["source"], *observation.topology["target"]])
    columns = Counter(service_of(name) for name in candidate_indicators(observation))
    most = sum(columns.values()) + 1
    scores = {name: edges[name] + columns[name] / most for name in observation.services}
    return rank_by_service(scores, {}, observation)
