"""PCMCI: causal links between time series, with their lags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.graph import CausalGraph, Mark
from rca_benchmark.causal.series import SINGULAR
from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

PC_ALPHA: Final = 0.1
ALPHA: Final = 0.05
# Keeps conditioning sets that determine each other solvable; far below what is tested.
RIDGE: Final = 1e-12


@dataclass(frozen=True, eq=False)
class LaggedLinks:
    """Links from the past of series to their present.

    Attributes:
        p_values: N x N x (most lags + 1): ``[i, j, l]`` is that of "i, l steps ago, and j depend";
            1 where nothing was tested (i = j without a lag).
        statistics: of the same shape: the partial correlations.
        links: of the same shape: ``p_values`` at most alpha.
    """

    p_values: NDArray[np.float64]
    statistics: NDArray[np.float64]
    links: NDArray[np.bool_]

    def graph(self, names: tuple[str, ...]) -> CausalGraph:
        """Links of any lag as directed edges, strongest lag as weight; those without a lag - .

        Where a pair has lagged links both ways, its edge is bidirected.
        """
        lagged: NDArray[np.bool_] = np.asarray(self.links[:, :, 1:].any(axis=2))
        np.fill_diagonal(lagged, val=False)
        directed = CausalGraph.from_causes(names, lagged)
        same_time = self.links[:, :, 0] | self.links[:, :, 0].T
        undirected = same_time & ~lagged & ~lagged.T
        marks = np.where(undirected, np.int8(Mark.TAIL), directed.marks)
        strength = np.where(self.links, np.abs(self.statistics), 0.0).max(axis=2)
        strength = np.where(undirected, np.maximum(strength, strength.T), strength)
        return CausalGraph(names, marks, strength)


def pcmci(
    values: NDArray[np.float64],
    most_lags: int,
    *,
    pc_alpha: float = PC_ALPHA,
    alpha: float = ALPHA,
) -> LaggedLinks:
    """PCMCI with partial correlations.

    Runge, Nowack, Kretschmer, Flaxman, Sejdinovic, Science Advances 2019, algorithms S1 and S2;
    the same tests as tigramite's ``run_pcmci`` with its defaults: all of them on the rows from
    2 ``most_lags`` on, so that one lagged correlation matrix serves them all.

    Args:
        values: T x N.
        most_lags: largest lag.
        pc_alpha: significance in the selection of conditions.
        alpha: significance of a link.

    Raises:
        MethodFailed: there are too few rows.
    """
    rows = len(values) - 2 * most_lags
    if rows < 4:
        raise MethodFailed(f"{len(values)} rows are too few for links of {most_lags} steps")
    count = values.shape[1]
    correlations = _lagged_correlations(values, 2 * most_lags)
    parents = [
        _select_conditions(correlations, rows, target, count, most_lags, pc_alpha)
        for target in range(count)
    ]
    p_values = np.ones((count, count, most_lags + 1))
    statistics = np.zeros(p_values.shape)
    for target in range(count):
        statistic, p_value = _momentary(correlations, rows, target, parents, most_lags)
        statistics[:, target], p_values[:, target] = statistic, p_value
    links = p_values <= alpha
    links[np.arange(count), np.arange(count), 0] = False
    return LaggedLinks(p_values, statistics, links)


def _lagged_correlations(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Correlations of all series at all lags; series i at lag l is at place l N + i."""
    rows = len(values) - most
    lagged = np.hstack([values[most - lag : most - lag + rows] for lag in range(most + 1)])
    lagged = lagged - lagged.mean(axis=0)
    spread = np.sqrt((lagged**2).mean(axis=0))
    lagged /= np.where(spread > 0, spread, 1.0)
    correlations: NDArray[np.float64] = lagged.T @ lagged / rows
    return correlations


def _select_conditions(
    correlations: NDArray[np.float64],
    rows: int,
    target: int,
    count: int,
    most_lags: int,
    alpha: float,
) -> NDArray[np.int64]:
    """Algorithm S1: lagged series on which the target depends given the strongest others."""
    parents = np.arange(count, count * (most_lags + 1))
    weakest = np.full(correlations.shape[0], np.inf)
    for size in range(rows - 3):
        if len(parents) - 1 < size:
            break
        statistic, p_value = _given_strongest(correlations, rows, target, parents, size)
        weakest[parents] = np.minimum(weakest[parents], np.abs(statistic))
        parents = parents[p_value <= alpha]
        parents = parents[np.argsort(-weakest[parents], kind="stable")]
    return parents


def _given_strongest(
    correlations: NDArray[np.float64],
    rows: int,
    target: int,
    parents: NDArray[np.int64],
    size: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each parent and the target given the ``size`` strongest other parents.

    Those beyond the strongest share one set of conditions.
    """
    statistic = np.empty(len(parents))
    beyond = parents[size:]
    given = np.tile(parents[:size], (1, 1))
    statistic[size:] = _partial(correlations, beyond[None, :], target, given)[0]
    if size:
        within = parents[: size + 1]
        others = np.array([np.delete(within, place) for place in range(size)])
        statistic[:size] = _partial(correlations, parents[:size, None], target, others)[:, 0]
    return statistic, _p_values(statistic, rows - size - 2)


def _momentary(
    correlations: NDArray[np.float64],
    rows: int,
    target: int,
    parents: list[NDArray[np.int64]],
    most_lags: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Algorithm S2 for one target: both N x (most lags + 1).

    Each series at each lag and the target, given the parents of both.
    """
    count = len(parents)
    sets = [
        np.setdiff1d(
            np.union1d(parents[target], parents[source] + lag * count), [lag * count + source]
        )
        for source in range(count)
        for lag in range(most_lags + 1)
    ]
    sizes = np.array([len(conditions) for conditions in sets])
    padded = np.full((len(sets), sizes.max(initial=0)), -1)
    for row, conditions in enumerate(sets):
        padded[row, : len(conditions)] = conditions
    source, lag = np.divmod(np.arange(len(sets)), most_lags + 1)
    statistic = _partial(correlations, (lag * count + source)[:, None], target, padded)[:, 0]
    p_value = _p_values(statistic, rows - sizes - 2)
    itself = target * (most_lags + 1)
    statistic[itself], p_value[itself] = 0.0, 1.0
    return statistic.reshape(count, -1), p_value.reshape(count, -1)


def _partial(
    correlations: NDArray[np.float64],
    sources: NDArray[np.int64],
    target: int,
    given: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Partial correlations of sources and target; null where the conditions determine either.

    Args:
        correlations: of everything.
        sources: G x M places.
        target: a place.
        given: G x K places, one set for each group; -1 stands for no condition.
    """
    groups, size = given.shape
    ends = np.hstack([sources, np.full((groups, 1), target)])
    here = (given >= 0)[:, :, None]
    cross = np.where(here, correlations[given[:, :, None], ends[:, None, :]], 0.0)
    among = correlations[given[:, :, None], given[:, None, :]]
    among = np.where(here & here.transpose(0, 2, 1), among, 0.0)
    places = np.arange(size)
    among[:, places, places] = 1.0 + RIDGE
    solved = np.linalg.solve(among, cross) if size else cross
    left = 1.0 - (cross * solved).sum(axis=1)
    direct = correlations[sources, target]
    common = direct - (cross[:, :, :-1] * solved[:, :, -1:]).sum(axis=1)
    spread = left[:, :-1] * left[:, -1:]
    testable = (left[:, :-1] > SINGULAR) & (left[:, -1:] > SINGULAR)
    found = np.full(sources.shape, np.nan)
    np.divide(common, np.sqrt(np.maximum(spread, SINGULAR**2)), out=found, where=testable)
    clipped: NDArray[np.float64] = np.clip(found, -1.0, 1.0)
    return clipped


def _p_values(
    statistic: NDArray[np.float64], freedom: int | NDArray[np.int64]
) -> NDArray[np.float64]:
    """Two-sided p-values of Student's t; 0 where nothing can be tested: the link stays."""
    from scipy.special import stdtr

    freedom = np.broadcast_to(np.asarray(freedom, dtype=np.float64), statistic.shape)
    testable = np.isfinite(statistic) & (freedom > 0)
    safe = np.where(testable, statistic, 0.0)
    degrees = np.where(testable, freedom, 1.0)
    left = np.maximum(1.0 - safe**2, 1e-300)
    p_values: NDArray[np.float64] = 2.0 * stdtr(degrees, -np.abs(safe) * np.sqrt(degrees / left))
    return np.where(testable, p_values, 0.0)
