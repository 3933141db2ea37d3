"""From a causal graph over indicators to a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.walk.pagerank import pagerank
from rca_benchmark.walk.random_walk import visits

if TYPE_CHECKING:
    from rca_benchmark.case import Observation
    from rca_benchmark.causal.graph import CausalGraph
    from rca_benchmark.causal.series import Series


def rank_by_pagerank(graph: CausalGraph, series: Series, observation: Observation) -> Ranking:
    """Indicators by the PageRank of a surfer who steps from effects to causes.

    Raises:
        MethodFailed: the graph has no edge, or no candidate has an indicator in it.
    """
    _check_edges(graph)
    scores = pagerank(graph.steps_to_causes())
    return rank_by_score(series.by_indicator(scores), observation)


def rank_by_random_walk(graph: CausalGraph, series: Series, observation: Observation) -> Ranking:
    """Indicators by the share of time that MonitorRank's walk spends there.

    The walk steps from effects to causes, and prefers indicators that correlate with the SLI; it
    never enters the SLI itself, which comes last (see ``walk.random_walk.visits``).

    Raises:
        MethodFailed: there is no SLI, the graph has no edge, no other indicator correlates with
            the SLI, or no candidate has an indicator in the graph.
    """
    front = series.position(observation.sli)
    _check_edges(graph)
    scores = visits(graph.steps_to_causes(), np.abs(series.correlations[front]), front)
    if not scores.any():
        raise MethodFailed(f"nothing correlates with the SLI {observation.sli}")
    return rank_by_score(series.by_indicator(scores), observation)


def _check_edges(graph: CausalGraph) -> None:
    if not graph.edges:
        raise MethodFailed("no causal relation was found among the indicators")
