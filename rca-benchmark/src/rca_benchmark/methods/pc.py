"""PC with PageRank, PC with a random walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rca_benchmark.causal.pc import pc
from rca_benchmark.causal.skeleton import Skeleton, find_skeleton
from rca_benchmark.methods.graph_ranking import rank_by_pagerank, rank_by_random_walk
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation
    from rca_benchmark.causal.graph import CausalGraph
    from rca_benchmark.methods.ranking import Ranking

ALPHA: Final = 0.05


def skeleton_of(observation: Observation, alpha: float) -> Skeleton:
    """The skeleton of all indicators over all rows, computed once per case and level.

    Raises:
        MethodFailed: there are too few rows, or no indicator varies.
    """

    def compute() -> Skeleton:
        series = series_of(observation)
        return find_skeleton(series.correlations, len(series.values), alpha)

    return shared(observation, ("skeleton", alpha), compute, timeless=True)


def pc_graph(observation: Observation, alpha: float) -> CausalGraph:
    """What PC answers, computed once per case and level.

    Raises:
        MethodFailed: as ``skeleton_of``.
    """

    def compute() -> CausalGraph:
        return pc(series_of(observation).names, skeleton_of(observation, alpha))

    return shared(observation, ("pc", alpha), compute, timeless=True)


@method(
    name="pc_pagerank",
    sources=("metrics",),
    paper="Spirtes, Glymour, Scheines: Causation, Prediction, and Search, 2000",
    uses_inject_time=False,
    stochastic=False,
)
def pc_pagerank(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = PageRank in the causal graph that the PC algorithm finds.

    PC (Spirtes, Glymour, Scheines 2000, section 5.4.2) is run on all rows, before and during the
    fault. It removes the edge between two indicators that are independent given some of their
    neighbours, then directs what it can: colliders first, then Meek's rules. PageRank steps from
    effects to causes; edges without a direction are walked both ways.

    Parameters:
        ALPHA: 0.05; level of each test of independence (paper: not fixed)
        damping: 0.85; probability of a step rather than a restart (PageRank's paper: 0.85)
        MOST_TESTS: 1e9; tests of a search (paper: no bound)

    Cost:
        O(N^2) correlations over T rows, then a test for each set of d neighbours of each pair of
        neighbours: exponential in the degree of the graph, which is small in practice.

    Decisions:
        * Stable form (Colombo, Maathuis 2014): a depth tries all sets of neighbours as they were
          when it began, so that no result depends on the order of the indicators.
        * The book keeps the first separating set, causal-learn all of them together. Together
          they are kept: this depends on no order either, and fewer colliders are found.
        * Colliders and rules that contradict each other: the first wins, by name. Edges never
          close a cycle, also where causal-learn's list of ancestors is incomplete.
        * A test on collinear indicators is no test: the edge stays. So it does where the search
          would take more than MOST_TESTS tests: it then ends a depth earlier.
        * Indicators without an edge are ranked as well, with what a restart gives them.

    Earlier implementations:
        * the study's code: leaves indicators without an edge out, but gives the scores to the
          first names of the full list, so that scores land on wrong names; 10 steps of PageRank.
        * RCAEval 1.8.1: ranks all nodes.
        * Both: collinear indicators end in an error of causal-learn.

    Raises:
        MethodFailed: the graph has no edge, there are too few rows, or no indicator varies.
    """
    return rank_by_pagerank(pc_graph(observation, ALPHA), series_of(observation), observation)


@method(
    name="pc_randomwalk",
    sources=("metrics",),
    paper="Spirtes, Glymour, Scheines: Causation, Prediction, and Search, 2000",
    uses_inject_time=False,
    stochastic=False,
    uses_sli=True,
)
def pc_randomwalk(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = visits of a random walk from the SLI over the graph that the PC algorithm finds.

    The graph is that of `pc_pagerank`. The walk is that of MonitorRank (Kim, Sumbaly, Shah 2013,
    section 4.2): it steps from effects to causes, prefers what correlates with the SLI, may step
    back to an effect, and may stay. It never enters the SLI itself, which comes last.

    Parameters:
        ALPHA: 0.05; level of each test of independence (paper: not fixed)
        BACKWARD: 0.2; weight of a step back to an effect
        damping: 0.85; probability of a step rather than a restart

    Cost:
        As `pc_pagerank`, and one system of N linear equations.

    Decisions:
        * As `pc_pagerank`.

    Earlier implementations:
        * the study's code: never reads the graph, because all of its scores are 0: each walk of
          each graph gives the same order, which depends on the number of columns alone.

    Raises:
        MethodFailed: there is no SLI, it does not vary or correlates with nothing, the graph has
            no edge, or there are too few rows.
    """
    return rank_by_random_walk(pc_graph(observation, ALPHA), series_of(observation), observation)
