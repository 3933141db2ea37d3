"""FCI with PageRank, FCI with a random walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rca_benchmark.causal.fci import fci
from rca_benchmark.methods.graph_ranking import rank_by_pagerank, rank_by_random_walk
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.pc import skeleton_of
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation
    from rca_benchmark.causal.graph import CausalGraph
    from rca_benchmark.methods.ranking import Ranking

ALPHA: Final = 0.05


def fci_graph(observation: Observation, alpha: float) -> CausalGraph:
    """What FCI answers, computed once per case and level.

    Raises:
        MethodFailed: there are too few rows, or no indicator varies.
    """

    def compute() -> CausalGraph:
        series = series_of(observation)
        skeleton = skeleton_of(observation, alpha)
        return fci(series.names, skeleton, series.correlations, len(series.values), alpha)

    return shared(observation, ("fci", alpha), compute, timeless=True)


@method(
    name="fci_pagerank",
    sources=("metrics",),
    paper="Spirtes, Meek, Richardson, UAI 1995; Zhang, Artificial Intelligence 172, 2008",
    uses_inject_time=False,
    stochastic=False,
    cost="seconds",
)
def fci_pagerank(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = PageRank in the partial ancestral graph that the FCI algorithm finds.

    FCI begins like PC, but allows for common causes that were not measured: it also tries sets of
    indicators that are not neighbours (Possible-D-SEP; Spirtes, Glymour, Scheines 2000, section
    6.7), and its edges say what is known at each end. The rules are R0 to R4 and R8 to R10 of
    Zhang 2008. PageRank steps from effects to causes, so from j to i where i o-> j, and both ways
    along i o-o j and i <-> j.

    Parameters:
        ALPHA: 0.05; level of each test of independence (paper: not fixed)
        damping: 0.85; probability of a step rather than a restart (PageRank's paper: 0.85)
        MOST_TESTS: 5e6; tests with sets of Possible-D-SEP (paper: no bound)

    Cost:
        As `pc_pagerank`, and up to MOST_TESTS tests, a second or two; these dominate.

    Decisions:
        * R5 to R7 are left out: they are for samples selected by what came of them.
        * R4 asks whether the middle indicator is among those that separate the ends, as in the
          paper; causal-learn tests anew.
        * All Possible-D-SEP sets are found before any edge goes (Colombo, Maathuis 2014), and
          their paths avoid the other indicator: a set that needs it cannot separate the two.
        * Where all sets would be more than MOST_TESTS, sets are only as large as can be tried for
          all edges alike (Spirtes 2001, Anytime FCI): the graph may have more edges.
        * Collinear indicators and separating sets as in `pc_pagerank`.

    Earlier implementations:
        * the study's code: PageRank steps along i o-> j from cause to effect, against all other
          edges; ends with an error where the graph has no edge.
        * causal-learn 0.1.4.8: of the Possible-D-SEP sets of each size the first is never tried,
          and what lies behind colliders is missed; where an edge went, colliders are found in one
          order of the names only; R4 is tried only after R1 to R3 changed something.

    Raises:
        MethodFailed: the graph has no edge, there are too few rows, or no indicator varies.
    """
    return rank_by_pagerank(fci_graph(observation, ALPHA), series_of(observation), observation)


@method(
    name="fci_randomwalk",
    sources=("metrics",),
    paper="Spirtes, Meek, Richardson, UAI 1995; Zhang, Artificial Intelligence 172, 2008",
    uses_inject_time=False,
    stochastic=False,
    uses_sli=True,
    cost="seconds",
)
def fci_randomwalk(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = visits of a random walk from the SLI over the graph that the FCI algorithm finds.

    The graph is that of `fci_pagerank`, the walk that of `pc_randomwalk`.

    Parameters:
        ALPHA: 0.05; level of each test of independence (paper: not fixed)
        MOST_TESTS: 5e6; tests with sets of Possible-D-SEP (paper: no bound)
        BACKWARD: 0.2; weight of a step back to an effect
        damping: 0.85; probability of a step rather than a restart

    Cost:
        As `fci_pagerank`, and one system of N linear equations.

    Decisions:
        * As `fci_pagerank`.

    Earlier implementations:
        * the study's code: never reads the graph, as in `pc_randomwalk`.

    Raises:
        MethodFailed: there is no SLI, it does not vary or correlates with nothing, the graph has
            no edge, or there are too few rows.
    """
    return rank_by_random_walk(fci_graph(observation, ALPHA), series_of(observation), observation)
