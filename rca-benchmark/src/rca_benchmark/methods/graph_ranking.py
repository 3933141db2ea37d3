"""From a causal graph over indicators to a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.walk.pagerank import pagerank

if TYPE_CHECKING:
    from rca_benchmark.case import Observation
    from rca_benchmark.causal.graph import CausalGraph
    from rca_benchmark.causal.series import Series


def rank_by_pagerank(graph: CausalGraph, series: Series, observation: Observation) -> Ranking:
    """Indicators by the PageRank of a surfer who steps from effects to causes.

    Raises:
        MethodFailed: the graph has no edge, or no candidate has an indicator in it.
    """
    if not graph.edges:
        raise MethodFailed("no causal relation was found among the indicators")
    scores = pagerank(graph.steps_to_causes())
    return rank_by_score(series.by_indicator(scores), observation)
