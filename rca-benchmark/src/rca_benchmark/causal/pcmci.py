"""PCMCI: which series leads which, by how many rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.graph import CausalGraph, Mark
from rca_benchmark.causal.lagged import (
    correlations_without_each,
    factorised,
    lagged_correlations,
    normalised,
    p_values,
    partial_correlations,
)
from rca_benchmark.causal.series import SINGULAR
from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

FEWEST_ROWS: Final = 4
_AT_ONCE: Final = 256  # tests whose matrices are worked on together


@dataclass(frozen=True, eq=False)
class LaggedLinks:
    """What PCMCI finds for N series at lags 0 ... L. All arrays are N x N x (L + 1).

    Attributes:
        links: ``[i, j, k]``: i, k rows before, is linked with j; at lag 0 without a direction.
        p_values: of the test for each link; 1 where there is none.
        statistics: partial correlations; 0 where there is no test.
    """

    links: NDArray[np.bool_]
    p_values: NDArray[np.float64]
    statistics: NDArray[np.float64]

    def to_graph(self, names: tuple[str, ...]) -> CausalGraph:
        """Edges i -> j where i leads j, <-> where each leads the other, i - j where they coincide.

        The weight of an edge is the largest partial correlation of its links, as a size.
        """
        strength = np.where(self.links, np.abs(self.statistics), 0.0)
        leads = self.links[:, :, 1:].any(axis=2)
        coincide = self.links[:, :, 0] & ~leads & ~leads.T
        marks = np.where(leads, Mark.ARROW, np.where(leads.T | coincide, Mark.TAIL, Mark.NONE))
        np.fill_diagonal(marks, Mark.NONE)
        return CausalGraph(names, marks.astype(np.int8), strength.max(axis=2))


def most_conditions(rows: int, lags: int) -> int:
    """How many variables a test holds fixed for each of its sides: a quarter of its rows."""
    return (rows - 2 * lags - FEWEST_ROWS) // 4


def pcmci(
    values: NDArray[np.float64], lags: int, *, parent_alpha: float, alpha: float
) -> LaggedLinks:
    """PCMCI with linear partial correlations.

    Runge, Nowack, Kretschmer, Flaxman, Sejdinovic 2019, Science Advances 5. First the lagged
    parents of each series: candidates that are independent of it, given ever more of the strongest
    other candidates, go. Then the test of momentary conditional independence for each link, given
    the parents of both of its ends. All tests are Student's, use the same rows, T - 2 ``lags``, and
    so one correlation matrix.

    Args:
        values: T x N.
        lags: L, the largest lag, in rows; 1 or more.
        parent_alpha: level of the first step.
        alpha: level of the second step.

    Returns:
        As tigramite's ``PCMCI.run_pcmci`` with ``ParCorr`` and no more than ``most_conditions``.
        What cannot be tested, because other variables determine it, is no link.

    Raises:
        MethodFailed: there are too few rows.
    """
    count, rows = values.shape[1], len(values) - 2 * lags
    if rows < FEWEST_ROWS:
        raise MethodFailed(f"{len(values)} rows are too few for lags of {lags} rows")
    correlations = lagged_correlations(values, 2 * lags)
    most = most_conditions(len(values), lags)
    grid = np.arange(1, lags + 1) * count + np.arange(count)[:, None]
    parents = [
        _parents(correlations, target, grid.ravel(), rows, parent_alpha, most)
        for target in range(count)
    ]
    statistics, freedom = _momentary(correlations, parents, lags, rows)
    found = p_values(statistics, freedom)
    each = np.arange(count)
    statistics[each, each, 0], found[each, each, 0] = 0.0, 1.0
    found[:, :, 0] = np.maximum(found[:, :, 0], found[:, :, 0].T)
    return LaggedLinks(found <= alpha, found, statistics)


def _parents(
    correlations: NDArray[np.float64],
    target: int,
    candidates: NDArray[np.int64],
    rows: int,
    alpha: float,
    most: int,
) -> NDArray[np.int64]:
    """At most so many lagged variables that lead the target, the strongest first."""
    left, strength = candidates, np.full(len(candidates), np.inf)
    for depth in range(most + 1):
        if len(left) - 1 < depth:
            break
        within = correlations_without_each(correlations, target, left[: depth + 1])
        beyond = partial_correlations(correlations, target, left[depth + 1 :], left[:depth])
        found = np.concatenate([within, beyond])
        strength = np.minimum(strength, np.abs(found))
        kept = p_values(found, np.full(len(found), rows - depth - 2)) <= alpha
        left, strength = left[kept], strength[kept]
        order = np.argsort(-strength, kind="stable")
        left, strength = left[order], strength[order]
    return left[:most]


def _momentary(
    correlations: NDArray[np.float64],
    parents: Sequence[NDArray[np.int64]],
    lags: int,
    rows: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Partial correlation and degrees of freedom of each link, N x N x (L + 1)."""
    count, none = len(parents), len(correlations)
    padded = np.pad(correlations, (0, 1))  # the last variable stands for none
    statistics = np.zeros((count, count, lags + 1))
    freedom = np.zeros((count, count, lags + 1), dtype=np.int64)
    sources = list(_with_parents(padded, parents, lags))
    for target, held in enumerate(parents):
        independent, factor = factorised(padded, held)
        explained: NDArray[np.float64] = np.linalg.solve(factor, padded[independent]).astype(
            np.float64, copy=False
        )
        is_held = np.zeros(none + 1, dtype=bool)
        is_held[held] = True
        for variables, blocks in sources:
            delay, source = np.divmod(variables[:, -1], count)
            found = _given_both(padded[:, target], explained, target, variables, blocks)
            for place in np.flatnonzero(is_held[variables[:, -1]]):
                own = variables[place, -1]
                given = np.setdiff1d(np.union1d(held, variables[place, :-1]), [own, none])
                found[place] = partial_correlations(padded, target, own[None], given)[0]
            statistics[source, target, delay] = found
            both = len(held) - is_held[variables[:, -1]]
            both += (~is_held[variables[:, :-1]] & (variables[:, :-1] < none)).sum(axis=1)
            freedom[source, target, delay] = rows - 2 - both
    return statistics, freedom


def _with_parents(
    padded: NDArray[np.float64], parents: Sequence[NDArray[np.int64]], lags: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Each series at each lag, many at a time, as in ``_given_both``: variables and blocks."""
    count, none = len(parents), len(padded) - 1
    conditions = np.array([len(found) for found in parents])
    sources = np.repeat(np.argsort(conditions, kind="stable"), lags + 1)
    delays = np.tile(np.arange(lags + 1), count)
    for start in range(0, len(sources), _AT_ONCE):
        source, delay = sources[start : start + _AT_ONCE], delays[start : start + _AT_ONCE]
        variables = np.full((len(source), conditions[source].max() + 1), none)
        for place, (i, k) in enumerate(zip(source, delay, strict=True)):
            variables[place, : conditions[i]] = parents[i] + k * count
        variables[:, -1] = delay * count + source
        yield variables, padded[variables[:, :, None], variables[:, None, :]]


def _given_both(
    moments: NDArray[np.float64],
    explained: NDArray[np.float64],
    target: int,
    variables: NDArray[np.int64],
    blocks: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Partial correlations of the target with B variables, given its parents and theirs.

    Args:
        moments: correlations of the target with all M variables.
        explained: P x M: what its P parents explain of all variables.
        target: a variable.
        variables: B x (K + 1): the parents of each other variable, then that variable.
        blocks: B x (K + 1) x (K + 1), the correlations among these.
    """
    part = explained.T[variables]
    left = blocks - part @ part.transpose(0, 2, 1)
    moment = moments[variables] - part @ explained[:, target]
    own = moments[target] - (explained[:, target] ** 2).sum()
    return _eliminated(left, moment, own)


def _eliminated(
    left: NDArray[np.float64], moment: NDArray[np.float64], own: float
) -> NDArray[np.float64]:
    """Partial correlations of a target with the last of K + 1 variables, given the K others.

    Args:
        left: B x (K + 1) x (K + 1), covariances of the variables.
        moment: B x (K + 1), those with the target.
        own: variance of the target.
    """
    count, size = moment.shape
    rows = np.concatenate([left, moment[:, None, :]], axis=1)  # the target's row comes last
    factor = np.zeros((count, size + 1, size - 1))
    for place in range(size - 1):
        known = factor[:, place:, :place] @ factor[:, place, :place, None]
        column = rows[:, place:, place] - known[:, :, 0]
        pivot = column[:, 0]
        usable = pivot > SINGULAR
        column *= (usable / np.sqrt(np.where(usable, pivot, 1.0)))[:, None]
        factor[:, place:, place] = column
    last, target = factor[:, -2], factor[:, -1]
    return normalised(
        moment[:, -1] - (last * target).sum(axis=1),
        left[:, -1, -1] - (last**2).sum(axis=1),
        own - (target**2).sum(axis=1),
    )
