"""MicroRCA: PageRank over the anomalous part of the call graph, pulled by resource use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.ranking import rank_by_service
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.service_graph import (
    RESPONSE_TIME,
    call_graph,
    likeness,
    service_series,
)
from rca_benchmark.walk.pagerank import pagerank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking
    from rca_benchmark.methods.service_graph import ServiceSeries

ANOMALOUS_WEIGHT: Final = 0.55
LEAST_PULL: Final = 0.01
SMOOTHING: Final = 10
# Published: 0.045 for series divided by their norm. That depends on the number of rows; for the
# 36 rows of a three-minute window of 5 s it is this share of the root mean square.
THRESHOLD: Final = 0.045 * 6.0


@method(
    name="microrca",
    sources=("metrics", "topology"),
    paper="Wu, Tordsson, Elmroth, Kao: MicroRCA, NOMS 2020",
    uses_inject_time=False,
    stochastic=False,
)
def microrca(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """PageRank over the services with an anomalous response time and their neighbours.

    A response time is anomalous where BIRCH finds more than one cluster in it. Calls of an
    anomalous service weigh 0.55, other calls as much as the two response times correlate. The
    surfer restarts at anomalous services, by the mean weight of their calls times their largest
    correlation between response time and resource use. A service's indicators are ordered by their
    correlation with its response time.

    Parameters:
        threshold: 0.27 of the root mean square; radius of a cluster (paper: 0.045 of the norm).
        weight: 0.55; of a call of an anomalous service (paper: alpha 0.55).
        damping: 0.85; of PageRank (paper: 0.85).

    Cost:
        O(T S + S^3) for S services.

    Decisions:
        * The surfer steps from callers to callees, where the causes are.
        * Machines are not part of the graph: no data set here has their resource use.
        * The radius is relative to the level of the series, whatever the number of rows.
        * "More than one cluster" is decided without building the tree: it is so where the standard
          deviation of some beginning of the series exceeds the radius.
        * Services outside of the anomalous part are not ranked.

    Earlier implementations:
        * The study's code: baselines of several callers overwrite each other; edges to machines are
          meant to be turned round and never are; all edges are, so that rank flows to callers; a
          negative correlation can keep PageRank from converging, which is answered at random.

    Raises:
        MethodFailed: there is no call graph, or no response time is anomalous.
    """
    found = service_series(observation)
    calls = call_graph(observation, found.services)
    anomalous = anomalies(observation, found) & (calls.any(axis=0) | calls.any(axis=1))
    if not anomalous.any():
        raise MethodFailed("no response time in the call graph is anomalous")
    part = anomalous | (calls & anomalous).any(axis=1) | (calls & anomalous[:, None]).any(axis=0)
    weights = np.where(anomalous, ANOMALOUS_WEIGHT, np.abs(np.corrcoef(found.response.T)))
    weights = np.where(calls & part & part[:, None], weights, 0.0)
    both = weights + weights.T
    mean = both.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1)
    pull = np.array([_pull(found, place) for place in range(len(found.services))])
    scores = pagerank(
        weights[np.ix_(part, part)], restart=np.where(anomalous, mean * pull, 0.0)[part]
    )
    names = [name for name, inside in zip(found.services, part, strict=True) if inside]
    return rank_by_service(
        dict(zip(names, map(float, scores), strict=True)), _own(observation, found), observation
    )


def anomalies(observation: Observation, found: ServiceSeries) -> NDArray[np.bool_]:
    """Whose response time, smoothed, falls into more than one BIRCH cluster; length S."""
    metrics = observation.metrics
    result = np.zeros(len(found.services), dtype=bool)
    for place, service in enumerate(found.services):
        own = [name for name in observation.indicators if name.startswith(f"{service}_")]
        times = [name for name in own if RESPONSE_TIME.search(name.partition("_")[2])]
        for name in times or own:
            smooth = metrics[name].rolling(SMOOTHING, min_periods=1).mean().ffill().bfill()
            result[place] |= several_clusters(smooth.to_numpy(dtype=np.float64))
    return result


def several_clusters(series: NDArray[np.float64], threshold: float = THRESHOLD) -> bool:
    """Whether BIRCH, fed one sample after the other, opens a second cluster.

    It does so when the radius (the standard deviation) of the first cluster with the next sample
    would exceed the threshold. The series is divided by its root mean square before.
    """
    if not np.isfinite(series).all() or not series.any():
        return False
    scaled = series / np.abs(series).max()
    scaled = scaled / np.sqrt((scaled**2).mean())
    count = np.arange(1, len(scaled) + 1)
    variance = np.cumsum(scaled**2) / count - (np.cumsum(scaled) / count) ** 2
    return bool((variance > threshold**2).any())


def _pull(found: ServiceSeries, place: int) -> float:
    """How much a service's response time follows its resource use; at least a little."""
    resources = found.resources[found.services[place]]
    if not resources.shape[1]:
        return LEAST_PULL
    return max(float(likeness(resources, found.response[:, place]).max()), LEAST_PULL)


def _own(observation: Observation, found: ServiceSeries) -> dict[str, float]:
    """How much each indicator follows the response time of its service."""
    series = series_of(observation)
    scores: dict[str, float] = {}
    for place, service in enumerate(found.services):
        alike = series.by_indicator(likeness(series.values, found.response[:, place]))
        scores |= {name: alike[name] for name in alike if name.startswith(f"{service}_")}
    return scores
