"""Granger causality between all indicators, then PageRank or a random walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.causal.granger import ALPHA, LAGS, granger_causes
from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.methods.graph_ranking import rank_by_pagerank, rank_by_random_walk
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking


def granger_graph(observation: Observation) -> CausalGraph:
    """Which indicator Granger-causes which; bidirected where both do.

    Raises:
        MethodFailed: there are too few rows, or no indicator varies.
    """

    def discover() -> CausalGraph:
        series = series_of(observation)
        return CausalGraph.from_causes(series.names, granger_causes(series.values))

    return shared(observation, ("granger", ALPHA, LAGS), discover, timeless=True)


@method(
    name="granger_pagerank",
    sources=("metrics",),
    paper="Granger, Econometrica 1969; Page et al. 1999; combined as in Xin et al., JSS 2023",
    uses_inject_time=False,
    stochastic=False,
)
def granger_pagerank(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """PageRank, from effects to causes, over pairwise Granger causality.

    x causes y where the F test rejects, for some number of lags, that the past of x adds nothing to
    the past of y. All pairs are tested together (``causal.granger``).

    Parameters:
        alpha: 0.05; significance of a test.
        lags: 1 to 3 are tried, as in the study.
        damping: 0.85; of PageRank (paper: 0.85).

    Cost:
        O(T N^2) for N indicators and T rows, as matrix products; PageRank is O(N^3).

    Decisions:
        * The F test alone decides. The study averages it with two chi-square versions, which differ
          from it by terms of order 1/T.
        * No correction for the number of tests, as published; ``granger_causes`` has one
          (Benjamini-Hochberg).
        * A pair that cannot be tested (lags that determine each other, a perfect fit) is no cause.
        * Where both cause each other, the walk can go both ways.

    Earlier implementations:
        * The study's code: one pair that cannot be tested makes the whole answer random.
        * RCAEval 1.8.1: PageRank stops after 10 iterations and gives nodes without steps 6.7 times
          the restart; isolated indicators outrank connected ones.

    Raises:
        MethodFailed: there are too few rows, or nothing causes anything.
    """
    return rank_by_pagerank(granger_graph(observation), series_of(observation), observation)


@method(
    name="granger_randomwalk",
    sources=("metrics",),
    paper="Granger, Econometrica 1969; walk of Kim et al.: MonitorRank, SIGMETRICS 2013",
    uses_inject_time=False,
    stochastic=False,
    uses_sli=True,
)
def granger_randomwalk(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """MonitorRank's random walk, from effects to causes, over pairwise Granger causality.

    The graph is that of ``granger_pagerank``. The walk prefers indicators that correlate with the
    SLI; the score is the share of time it spends at an indicator, in the limit.

    Parameters:
        alpha: 0.05; significance of a test.
        lags: 1 to 3 are tried, as in the study.
        backward: 0.2; weight of a step back (MonitorRank: below 1).
        damping: 0.85; probability of a step rather than a new beginning.

    Cost:
        O(T N^2) for N indicators and T rows, and O(N^3) for the walk.

    Decisions:
        * The walk is solved exactly, not sampled.
        * It begins anew at indicators by their correlation with the SLI, as in MonitorRank, and
          never enters the SLI itself, which comes last.

    Earlier implementations:
        * The study's code: all scores that steer the walk are 0, so that it ignores the graph and
          the data; the answer is one fixed permutation of the columns.

    Raises:
        MethodFailed: there is no SLI, there are too few rows, or nothing causes anything.
    """
    return rank_by_random_walk(granger_graph(observation), series_of(observation), observation)
