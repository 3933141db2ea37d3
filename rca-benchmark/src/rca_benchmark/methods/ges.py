"""Greedy equivalence search over all indicators, then PageRank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.ges import MOST_TURNED, ges
from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.causal.series import independent_columns
from rca_benchmark.methods.graph_ranking import rank_by_pagerank
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking


def ges_graph(observation: Observation) -> CausalGraph:
    """What the search finds between the indicators that no others determine; once per case.

    Raises:
        MethodFailed: there are too few rows, or no indicator varies.
    """

    def discover() -> CausalGraph:
        series = series_of(observation)
        rows = len(series.values)
        columns = independent_columns(series.correlations, rows)
        block = np.ix_(columns, columns)
        found = ges(
            tuple(series.names[place] for place in columns), series.correlations[block], rows
        )
        marks = np.zeros(series.correlations.shape, dtype=np.int8)
        marks[block] = found.marks
        return CausalGraph(series.names, marks)

    return shared(observation, ("ges", MOST_TURNED), discover, timeless=True)


@method(
    name="ges_pagerank",
    sources=("metrics",),
    paper="Chickering: GES, JMLR 2002; Page et al. 1999; combined as in Xin et al., JSS 2023",
    uses_inject_time=False,
    stochastic=False,
)
def ges_pagerank(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """PageRank, from effects to causes, over the class of graphs of the best BIC.

    Greedy equivalence search (Chickering 2002, section 4) starts without an edge, inserts the edge
    that raises the score most until none does (theorem 15), then deletes in the same way (theorem
    17). It works on classes of acyclic graphs that no data can tell apart; each step is completed
    to its class (Dor, Tarsi 1992; Chickering 1995). The score is the BIC of linear Gaussian models,
    so correlations are all it needs: what an edge gains is -T/2 log(1 - r^2) - log(T)/2 with the
    partial correlation r. Edges without a direction are walked both ways.

    Parameters:
        penalty: log(T)/2 for each edge; that of the BIC (paper: the same, or a Bayesian score).
        MOST_TURNED: 4; most neighbours of the effect that a step directs (paper: no bound).
        damping: 0.85; of PageRank (paper: 0.85).

    Cost:
        O(T N^2) for the correlations of N indicators over T rows; a step then takes O(N k^2) for
        each effect whose surroundings it changed, with k parents, and O(N^2) to find the next.
        Data of many common trends give dense graphs and as many steps as these have edges.

    Decisions:
        * Gains are kept, and only effects are looked at anew whose edges, or whose neighbours'
          edges, a step changed (Ramsey et al. 2017); this changes no result.
        * Two phases, as in the paper. The third, which turns edges, came later.
        * Steps of equal gain: the first by name, the effect before the cause.
        * Indicators that others determine, or that are more than there are rows, have no edge.

    Earlier implementations:
        * The study's code: the same search by causal-learn, which computes every score anew: 26
          seconds for 24 indicators.
        * RCAEval 1.8.1: answers with pairs of name and score, which its own evaluation cannot read.

    Raises:
        MethodFailed: there are too few rows, or no edge raises the score.
    """
    return rank_by_pagerank(ges_graph(observation), series_of(observation), observation)
