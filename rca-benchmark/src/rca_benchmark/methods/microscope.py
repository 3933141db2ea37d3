"""MicroScope: the last anomalous services on the way from the front end towards causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.causal.pc import pc
from rca_benchmark.causal.series import complete_series
from rca_benchmark.causal.skeleton import find_skeleton
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.ranking import rank_by_service
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.service_graph import call_graph, likeness, service_series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking
    from rca_benchmark.methods.service_graph import ServiceSeries

ALPHA: Final = 0.05
SIGMAS: Final = 3.0


@method(
    name="microscope",
    sources=("metrics", "topology"),
    paper="Lin, Chen, Zheng: MicroScope, ICSOC 2018",
    uses_inject_time=True,
    stochastic=False,
    uses_sli=True,
)
def microscope(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services where anomalies end, by their correlation with the front end.

    From the service of the SLI the graph is searched along anomalous services; those from which no
    further anomalous one can be reached are the candidates, ordered by the correlation of their
    response time with the SLI. Then come the other anomalous services on the way, then all others,
    each group by correlation. A service's indicators are ordered by their own correlation.

    Parameters:
        sigmas: 3; a response time beyond that many standard deviations of its normal window is
            anomalous (paper: 3).
        alpha: 0.05; of PC's tests, where the graph is learnt.

    Cost:
        O(T S^2) for S services; learning the graph as ``pc_pagerank``, over services.

    Decisions:
        * The graph is the call graph; where there is none, PC learns one over the services'
          response times. The paper combines network connections with PC.
        * Where candidates reach each other, all of them are candidates.
        * The paper returns the candidates; the others follow so that a missed detection does not
          leave the culprit out.

    Earlier implementations:
        * The study's code: candidates are compared with the service visited last instead of the
          front end; the order of the search depends on string hashing, and so does the answer.

    Raises:
        MethodFailed: there is no SLI or no inject time, or its service has no response time.
    """
    series = series_of(observation)
    symptom = series.values[:, series.position(observation.sli)]
    found = service_series(observation)
    front = service_of(str(observation.sli))
    if front not in found.services:
        raise MethodFailed(f"the service of the SLI {observation.sli} has no indicator that varies")
    start = found.services.index(front)
    anomalous = _anomalous(observation, found)
    reached, last = search(_causes(observation, found), anomalous, start)
    scores = likeness(found.response, symptom) + 2.0 * reached + 2.0 * last
    own = series.by_indicator(likeness(series.values, symptom))
    services = dict(zip(found.services, map(float, scores), strict=True))
    return rank_by_service(services, own, observation)


def search(
    causes: NDArray[np.bool_], anomalous: NDArray[np.bool_], start: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which services a search from ``start`` along anomalous ones reaches, and where it ends.

    Args:
        causes: S x S: ``[i, j]``: j may cause what is seen at i.
        anomalous: length S; ``start`` counts as anomalous.
        start: a place.

    Returns:
        Twice length S: reached; of these, those from which nothing else can be reached that
        cannot be reached back.
    """
    import networkx as nx

    open_to = anomalous.copy()
    open_to[start] = True
    graph = nx.from_numpy_array(causes & open_to & open_to[:, None], create_using=nx.DiGraph)
    reached = np.zeros(len(causes), dtype=bool)
    reached[[start, *nx.descendants(graph, start)]] = True
    last = np.zeros(len(causes), dtype=bool)
    part = graph.subgraph(np.flatnonzero(reached).tolist())
    for component in nx.attracting_components(part):
        last[list(component)] = True
    return reached, last


def _anomalous(observation: Observation, found: ServiceSeries) -> NDArray[np.bool_]:
    """Whose response time leaves 3 sigma of its normal window."""
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    late = observation.metrics["time"].to_numpy() >= observation.inject_time_ns
    normal = found.response[~late]
    largest = np.abs(found.response[late] - normal.mean(axis=0)).max(axis=0)
    anomalous: NDArray[np.bool_] = largest > SIGMAS * normal.std(axis=0)
    return anomalous


def _causes(observation: Observation, found: ServiceSeries) -> NDArray[np.bool_]:
    """``[i, j]``: j may cause what is seen at i: a callee, or by the graph that PC learns."""
    if not observation.topology.empty or not observation.traces.empty:
        return call_graph(observation, found.services)
    times = observation.metrics[["time"]].copy()
    for place, name in enumerate(found.services):
        times[f"{name}_response"] = found.response[:, place]
    series = complete_series(times)
    learnt = pc(series.names, find_skeleton(series.correlations, len(series.values), ALPHA))
    steps = learnt.steps_to_causes() > 0
    causes = np.zeros((len(found.services), len(found.services)), dtype=bool)
    places = [found.services.index(service_of(name)) for name in series.names]
    causes[np.ix_(places, places)] = steps
    return causes
