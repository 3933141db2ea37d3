"""MonitorRank: a random walk over the call graph towards what resembles the front end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.ranking import rank_by_service
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.service_graph import call_graph, likeness, service_series
from rca_benchmark.walk.random_walk import visits

if TYPE_CHECKING:
    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking


@method(
    name="monitorrank",
    sources=("metrics", "topology"),
    paper="Kim, Sumbaly, Shah: MonitorRank, SIGMETRICS 2013",
    uses_inject_time=False,
    stochastic=False,
    uses_sli=True,
)
def monitorrank(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the share of time that a random walk over the call graph spends there.

    The walk goes from callers to callees, back with less weight, and stays where nothing it calls
    resembles the SLI more (section 4.2 of the paper). Resemblance is the absolute correlation of a
    service's response time with the SLI; it also says where the walk begins anew. A service's
    indicators are ordered by their own correlation with the SLI.

    Parameters:
        backward: 0.2; weight of a step back (paper: below 1).
        damping: 0.85; probability of a step rather than a new beginning.

    Cost:
        O(T S + S^3) for S services.

    Decisions:
        * The walk is solved exactly, not sampled.
        * It never enters the service at which the SLI is measured, as in the paper: that service
          comes last, and a fault there cannot be found.
        * Pseudo-anomalies (section 4.1 of the paper) need metrics of weeks and are left out.
        * The call graph is the topology; where there is none, it is read from the spans.
        * Services without an indicator or without a place in the call graph are not ranked.

    Earlier implementations:
        * The study's code: where two services call each other, one weight overwrites the other in
          an order that depends on string hashing; the last reversal turns the walk towards callers.

    Raises:
        MethodFailed: there is no SLI, no call graph, or nothing resembles the SLI.
    """
    series = series_of(observation)
    symptom = series.values[:, series.position(observation.sli)]
    found = service_series(observation)
    calls = call_graph(observation, found.services)
    front = service_of(str(observation.sli))
    if front not in found.services:
        raise MethodFailed(f"the service of the SLI {observation.sli} is not in the call graph")
    alike = likeness(found.response, symptom)
    inside = np.asarray(calls.any(axis=0) | calls.any(axis=1))
    alike[~inside] = 0.0
    place = found.services.index(front)
    scores = visits(calls.astype(float), alike, place)
    if not scores.any():
        raise MethodFailed(f"no service in the call graph resembles the SLI {observation.sli}")
    ranked = {
        name: float(score)
        for name, score, known in zip(found.services, scores, inside, strict=True)
        if known
    }
    own = series.by_indicator(likeness(series.values, symptom))
    return rank_by_service(ranked, own, observation)
