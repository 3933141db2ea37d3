"""MicroCause: a lagged causal graph, a walk along partial correlations, and anomaly degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.lagged import partial_correlations
from rca_benchmark.causal.pcmci import LaggedLinks, most_conditions, pcmci
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.peaks_over_threshold import thresholds
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import shared
from rca_benchmark.walk.random_walk import first_order_steps
from rca_benchmark.walk.second_order import UNREACHED, expected_visits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.causal.series import Series

MOST_LAGS: Final = 10
LAG_SHARE: Final = 6
PARENT_ALPHA: Final = 0.1
ALPHA: Final = 0.05
BACKWARD: Final = 0.2
WALK_SHARE: Final = 0.5
LEAST_THRESHOLD: Final = 0.01
MOST_INDICATORS: Final = 250


@method(
    name="microcause",
    sources=("metrics",),
    paper="Meng et al.: MicroCause, IWQoS 2020",
    uses_inject_time=True,
    stochastic=False,
    uses_sli=True,
    most_indicators=MOST_INDICATORS,
    cost="seconds",
)
def microcause(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = visits of a walk from the SLI over a lagged causal graph, plus the anomaly degree.

    The graph ("path condition time series", PCTS) is what PCMCI finds in all rows: i causes j where
    i leads j by some rows, given the parents of both. The walk ("temporal cause oriented", TCORW)
    steps from effects to causes, and prefers indicators whose partial correlation with the SLI,
    given the parents of both, is large; it may step back or stay. The anomaly degree is how far,
    after the inject time, an indicator goes beyond a threshold that SPOT fits before it. The score
    is lambda visits / most visits + (1 - lambda) degree / highest degree.

    Parameters:
        MOST_LAGS: 10; largest lag in rows, but at most a sixth of the rows (study's code: 10)
        PARENT_ALPHA: 0.1; level at which PCMCI chooses parents (study's code: 0.1)
        ALPHA: 0.05; level of a link (study's code: 0.05)
        BACKWARD: 0.2; weight of a step back to an effect (study's code: 0.2)
        LENGTH: 1000; steps of the walk (study's code: 1000, walked 1000 times)
        WALK_SHARE: 0.5; lambda (study's code: 0.5)
        RISK: 0.001; chance that a normal value is beyond the threshold

    Cost:
        Correlations of all lagged indicators, O(T N^2 L^2) for L lags, and then O(N^2 L p^2) for
        p parents of an indicator: about N^2 L tests. 250 indicators of 1200 rows are the bound.

    Decisions:
        * Lags adapt to the rows, and a test holds no more than a quarter of its rows fixed for
          each side: 10 lags of 30 rows would leave no test.
        * Where two indicators coincide (a link at lag 0) and neither leads the other, the walk
          goes both ways: at steps of seconds most effects are seen within one row. Where one
          leads, it alone is the cause.
        * Where indicators have more parents than a quarter of the rows, the strongest are used in
          the partial correlation.
        * The walk never enters the SLI, as published for MonitorRank. From where no step leads it
          begins anew at indicators by their partial correlation; the study's code ends it there.
        * Visits are expected values, not sampled. What the walk cannot reach is ordered by its
          partial correlation with the SLI.
        * Deviations to both sides of the normal median count; the degree is the excess over the
          threshold relative to the threshold's distance from that median. Relative to the
          threshold itself it would depend on where the unit has its zero.
        * SPOT is fitted once, before the inject time, with at least 10 peaks: 2 % of a short
          window are none. A threshold is at least 1 % of the indicator's standard deviation, so
          that one that never moved before has a finite degree.

    Earlier implementations:
        * the study's code: the anomaly degree is constant 1, so that visits alone decide; the SLI
          is chosen by the true root cause; the walk is sampled without a seed.
        * RCAEval 1.8.1: calls a function of tigramite that no longer answers.

    Raises:
        MethodFailed: there is no SLI or inject time, the SLI does not vary, no link was found,
            there are more than 250 indicators or fewer than 6 rows, or fewer than 2 rows are
            before the inject time.
    """
    series = series_of(observation)
    front = series.position(observation.sli)
    if len(series.names) > MOST_INDICATORS:
        raise MethodFailed(
            f"{len(series.names)} indicators are more than the {MOST_INDICATORS} that it can "
            "test at all lags"
        )
    degrees = _anomaly_degrees(observation, series)
    visits = shared(
        observation, ("microcause visits",), lambda: _visits(series, front), timeless=True
    )
    score = WALK_SHARE * _relative(visits) + (1 - WALK_SHARE) * _relative(degrees)
    return rank_by_score(series.by_indicator(score), observation)


def _visits(series: Series, front: int) -> NDArray[np.float64]:
    """Expected visits of the walk from the SLI."""
    rows = len(series.values)
    lags = min(MOST_LAGS, rows // LAG_SHARE)
    if lags < 1:
        raise MethodFailed(f"{rows} rows are too few; needed are {LAG_SHARE}")
    found = pcmci(series.values, lags, parent_alpha=PARENT_ALPHA, alpha=ALPHA)
    graph = found.to_graph(series.names)
    if not graph.edges:
        raise MethodFailed("no causal relation was found among the indicators")
    causes = (graph.steps_to_causes() > 0).astype(np.float64)
    closeness = _closeness(series, found, causes, front, most_conditions(rows, lags))
    causes[:, front] = 0.0
    weights = first_order_steps(causes, closeness, backward=BACKWARD)
    weights[:, front] = 0.0
    return expected_visits(weights, front, closeness) + UNREACHED * closeness


def _closeness(
    series: Series, found: LaggedLinks, causes: NDArray[np.float64], front: int, most: int
) -> NDArray[np.float64]:
    """Size of each partial correlation with the SLI, given the parents of both; 0 for the SLI.

    Args:
        series: the data.
        found: tells the strength of links.
        causes: N x N: ``[i, j]``: j is a parent of i.
        front: position of the SLI.
        most: how many parents of each are used, the strongest.
    """
    strength = np.abs(found.statistics).max(axis=2)
    parents = []
    for node, mine in enumerate(causes > 0):
        by_strength = np.argsort(-np.where(mine, strength[:, node], -1.0), kind="stable")
        parents.append(by_strength[: min(most, int(mine.sum()))])
    closeness = np.zeros(len(causes))
    for node in range(len(causes)):
        if node != front:
            given = np.setdiff1d(np.union1d(parents[front], parents[node]), [front, node])
            pair = partial_correlations(series.correlations, front, np.array([node]), given)
            closeness[node] = abs(pair[0])
    return closeness


def _anomaly_degrees(observation: Observation, series: Series) -> NDArray[np.float64]:
    """How far each indicator goes beyond its threshold after the inject time; 0 where it stays."""
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    normal = observation.metrics["time"].to_numpy() < observation.inject_time_ns
    if normal.sum() < 2:
        raise MethodFailed("fewer than 2 rows are before the inject time")
    deviation = np.abs(series.values - np.median(series.values[normal], axis=0))
    limit = np.maximum(thresholds(deviation[normal]), LEAST_THRESHOLD)
    degrees: NDArray[np.float64] = np.maximum(deviation[~normal].max(axis=0) / limit - 1.0, 0.0)
    return degrees


def _relative(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores by the largest, which is then 1; as they are where all are 0."""
    relative: NDArray[np.float64] = scores / (scores.max() or 1.0)
    return relative
