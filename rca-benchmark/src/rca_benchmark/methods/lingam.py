"""ICA-LiNGAM over all indicators, then PageRank or a random walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.causal.lingam import effects_in_order, ica_order
from rca_benchmark.causal.series import independent_columns
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.graph_ranking import rank_by_pagerank, rank_by_random_walk
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking


def linear_graph(
    observation: Observation, order: Callable[[NDArray[np.float64]], NDArray[np.int64]]
) -> CausalGraph:
    """A linear acyclic model over the indicators that no others determine.

    Edges weigh as much as their coefficient between standardised indicators.

    Args:
        observation: gives the series.
        order: finds the causal order of a T x N matrix of full rank.

    Raises:
        MethodFailed: there are too few rows, or fewer than two indicators to order.
    """
    series = series_of(observation)
    rows = len(series.values)
    columns = independent_columns(series.correlations, rows)
    if len(columns) < 2:
        raise MethodFailed("a linear model needs two indicators that do not determine each other")
    placed = columns[order(series.values[:, columns])]
    effects = np.zeros(series.correlations.shape)
    block = np.ix_(columns, columns)
    within = np.searchsorted(columns, placed)
    effects[block] = effects_in_order(series.correlations[block], rows, within)
    return CausalGraph.from_causes(series.names, effects, np.abs(effects))


def lingam_graph(observation: Observation, rng: np.random.Generator) -> CausalGraph:
    """The graph of ICA-LiNGAM, from a random start of the component analysis."""
    seed = int(rng.integers(2**31))
    return linear_graph(observation, lambda values: ica_order(values, seed))


@method(
    name="lingam_pagerank",
    sources=("metrics",),
    paper="Shimizu et al.: LiNGAM, JMLR 2006; Page et al. 1999; as in Xin et al., JSS 2023",
    uses_inject_time=False,
    stochastic=True,
)
def lingam_pagerank(observation: Observation, rng: np.random.Generator) -> Ranking:
    """PageRank, from effects to causes, over the linear model of ICA-LiNGAM.

    Independent components give the causal order (algorithms A to C), the adaptive lasso says which
    of the earlier indicators each one needs. Steps weigh as much as the coefficients between
    standardised indicators.

    Parameters:
        iterations: 1000; most of FastICA.
        damping: 0.85; of PageRank (paper: 0.85).

    Cost:
        O(T N^2) per iteration of FastICA, then N lasso paths of O(N^3) each, from correlations
        alone.

    Decisions:
        * FastICA starts at random; the answer depends on the seed, most on short windows, on which
          it does not converge. Its last iterate is then used, as published.
        * Indicators that others determine, or that are more than there are rows, have no edge.

    Earlier implementations:
        * The study's code: FastICA is not seeded, and rankings change from run to run; weights are
          reduced to 0 and 1; data with fewer rows than columns are answered at random.

    Raises:
        MethodFailed: there are too few rows or indicators, or no coefficient is left.
    """
    return rank_by_pagerank(lingam_graph(observation, rng), series_of(observation), observation)


@method(
    name="lingam_randomwalk",
    sources=("metrics",),
    paper="Shimizu et al.: LiNGAM, JMLR 2006; walk of Kim et al.: MonitorRank, SIGMETRICS 2013",
    uses_inject_time=False,
    stochastic=True,
    uses_sli=True,
)
def lingam_randomwalk(observation: Observation, rng: np.random.Generator) -> Ranking:
    """MonitorRank's random walk, from effects to causes, over the linear model of ICA-LiNGAM.

    The graph is that of ``lingam_pagerank``. The walk prefers strong effects and indicators that
    correlate with the SLI; the score is the share of time it spends there, in the limit.

    Parameters:
        iterations: 1000; most of FastICA.
        backward: 0.2; weight of a step back (MonitorRank: below 1).
        damping: 0.85; probability of a step rather than a new beginning.

    Cost:
        As ``lingam_pagerank``.

    Decisions:
        * As in ``lingam_pagerank`` and, of the walk, as in ``granger_randomwalk``.

    Earlier implementations:
        * The study's code: all scores that steer the walk are 0, so that it ignores the graph and
          the data; the answer is one fixed permutation of the columns.

    Raises:
        MethodFailed: there is no SLI, there are too few rows or indicators, or no coefficient is
            left.
    """
    return rank_by_random_walk(lingam_graph(observation, rng), series_of(observation), observation)
