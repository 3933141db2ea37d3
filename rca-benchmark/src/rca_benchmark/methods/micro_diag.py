"""MicroDiag's metric-level causality: DirectLiNGAM, then PageRank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.causal.lingam import direct_order
from rca_benchmark.methods.graph_ranking import rank_by_pagerank
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.lingam import linear_graph
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation
    from rca_benchmark.causal.graph import CausalGraph
    from rca_benchmark.methods.ranking import Ranking


def direct_graph(observation: Observation) -> CausalGraph:
    """The graph of DirectLiNGAM.

    Raises:
        MethodFailed: there are too few rows or indicators.
    """
    return shared(
        observation, "direct lingam", lambda: linear_graph(observation, direct_order), timeless=True
    )


@method(
    name="micro_diag",
    sources=("metrics",),
    paper="Wu et al.: MicroDiag, CloudIntelligence 2021; Shimizu et al.: DirectLiNGAM, JMLR 2011",
    uses_inject_time=False,
    stochastic=False,
    cost="seconds",
)
def micro_diag(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """PageRank, from effects to causes, over the linear model of DirectLiNGAM.

    Parameters:
        damping: 0.85; of PageRank (paper: 0.85).

    Cost:
        O(T N^3): the entropies of all residuals at each of N steps; then N lasso paths.

    Decisions:
        * The paper prescribes a graph of its own from the call graph for some metrics; here all
          relations are learnt, as in the study.
        * Indicators that others determine, or that are more than there are rows, have no edge.

    Earlier implementations:
        * RCAEval 1.8.1: weights are reduced to 0 and 1; PageRank stops after 10 iterations.

    Raises:
        MethodFailed: there are too few rows or indicators, or no coefficient is left.
    """
    return rank_by_pagerank(direct_graph(observation), series_of(observation), observation)
