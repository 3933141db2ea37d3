"""CIRCA: which indicators leave what their causes explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.methods.pc import pc_graph
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.regression_test import (
    adjust_for_descendants,
    anomalous_from,
    residual_scores,
    standardised,
)
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.causal.graph import CausalGraph

ALPHA: Final = 0.05


@method(
    name="circa",
    sources=("metrics",),
    paper="Li et al.: CIRCA, KDD 2022",
    uses_inject_time=True,
    stochastic=False,
)
def circa(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = largest residual that an indicator's causes leave, raised by that of its effects.

    A root cause is an indicator whose distribution given its causes changes (section 3 of the
    paper: intervention recognition). Each indicator is regressed on its causes over the normal
    window; its score is the largest absolute residual of the anomalous window, standardised by
    mean and standard deviation of the normal residuals (section 4.2). To an anomalous indicator
    the largest score among its effects is added, those that are not anomalous being looked through
    (section 4.3), which lifts a cause above what it causes.

    Parameters:
        ALPHA: 0.05; level of PC's tests (as ``pc_pagerank``)
        SIGMAS: 3; a score of one row from which an indicator is anomalous (paper: 3)
        ROWS_PER_CAUSE: 10; rows of the normal window per cause in a regression (paper: no bound)

    Cost:
        That of PC, which is shared with the other PC methods, and N regressions of O(T k^2) for k
        causes.

    Decisions:
        * The graph is that of PC over both windows, as in the comparisons that followed the
          paper. The paper builds it from the call graph and from which metrics are traffic,
          latency, errors or saturation; indicators do not declare that, and many data sets have no
          call graph.
        * Only directed edges count. An effect taken for a cause would explain the root cause away;
          a missed cause only leaves the plain standard score.
        * The anomalous window counts as a whole. As the maximum over more rows is larger by
          chance, the 3 sigma of one row become the bound that a maximum of that many normal values
          exceeds as rarely. With 3 sigma for 150 rows, quiet causes of the root cause are lifted
          above it.
        * An indicator without causes, also one that is isolated in the graph, has its plain
          standard score; so has one that is constant in the normal window.
        * Of more causes than one per 10 rows the most correlated are kept.
        * The paper's residual is kept as it is, although a regression far outside of the normal
          range errs with the size of the causes.

    Earlier implementations:
        * RCAEval 0.1, RCAEval 1.8.1, the study's code: the graph is turned round before use, so an
          indicator is regressed on its effects; no descendant adjustment.
        * RCAEval 0.1, RCAEval 1.8.1, the study's code: metric names with a second
          underscore are lost without a word, so that only latency is scored on LLM data;
          indicators that are isolated in the graph are not ranked.
        * RCAEval 0.1, RCAEval 1.8.1, the study's code: training on 111 points and testing
          on the last 10 of a 1 s grid; where the data end before, these hold one repeated value.

    Raises:
        MethodFailed: there is no inject time, there are too few rows, the graph is too dense, or no
            indicator of a candidate varies.
    """
    windows = split_windows(observation)
    causes = causes_among(windows.indicators, pc_graph(observation, ALPHA))
    scores = residual_scores(*standardised(windows), causes)
    adjusted = adjust_for_descendants(scores, causes, anomalous_from(len(windows.anomalous)))
    return rank_by_score(dict(zip(windows.indicators, adjusted, strict=True)), observation)


def causes_among(indicators: list[str], graph: CausalGraph) -> NDArray[np.bool_]:
    """``[i, j]``: the graph has a directed edge from indicator i to indicator j."""
    place = {name: node for node, name in enumerate(graph.names)}
    known = [name in place for name in indicators]
    nodes = [place.get(name, 0) for name in indicators]
    found: NDArray[np.bool_] = graph.parents[np.ix_(nodes, nodes)] & np.outer(known, known)
    return found
