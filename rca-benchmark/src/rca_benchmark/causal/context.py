"""Which variables a context, such as time, acts on directly."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.partial_correlation import independent_of_last
from rca_benchmark.causal.skeleton import subsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TESTS: Final = 20_000_000
_AT_ONCE: Final = 100_000  # numbers per array: what a processor's cache holds


def rank_by_context(
    values: NDArray[np.float64], context: NDArray[np.float64], alpha: float, most_conditions: int
) -> list[int]:
    """All variables, those that the context acts on directly first.

    The adjacency search of PC around the context, which has no causes of its own: with sets of
    0, 1, 2, ... of the variables that are still adjacent, one is removed where its partial
    correlation with the context is not significant (Student's t). The least correlated variable is
    tested first, so that of two that separate each other the more correlated one stays. A test
    that cannot be made leaves the edge.

    Args:
        values: T x N, each column with mean 0 and standard deviation 1.
        context: length T, not constant.
        alpha: level of each two-sided test.
        most_conditions: largest size of a set. A size that takes more than ``MOST_TESTS`` tests
            ends the search.

    Returns:
        The adjacent variables, then the others by the size of the set that removed them, largest
        first; equals by their correlation with the context, strongest first.
    """
    rows = len(values)
    scaled = (context - context.mean()) / context.std()
    both = np.column_stack([values, scaled])
    correlations = np.clip(both.T @ both / rows, -1.0, 1.0)
    strength = np.round(np.abs(correlations[-1, :-1]), 12)
    depth_of = np.full(values.shape[1], most_conditions + 1)
    left = np.argsort(strength, kind="stable")
    for depth in range(most_conditions + 1):
        tests = len(left) * comb(len(left), depth)
        if len(left) <= depth or rows - 2 - depth < 1 or tests > MOST_TESTS:
            break
        nodes = np.append(left, values.shape[1])
        independent, sets = _independent(
            correlations[np.ix_(nodes, nodes)], depth, critical_by_t(rows, depth, alpha)
        )
        removed = _removed_in_turn(independent, sets)
        depth_of[left[removed]] = depth
        left = left[~removed]
    return [int(node) for node in np.lexsort((-strength, -depth_of))]


def critical_by_t(rows: int, conditions: int, alpha: float) -> float:
    """The size from which a partial correlation differs from 0 by Student's t test.

    Args:
        rows: T, from how many the correlations were computed.
        conditions: how many variables are held fixed; T - 2 - that many is 1 or more.
        alpha: level of the two-sided test.
    """
    from scipy.special import stdtrit

    freedom = rows - 2 - conditions
    quantile = float(stdtrit(freedom, 1 - alpha / 2))
    return quantile / float(np.sqrt(freedom + quantile**2))


def _independent(
    correlations: NDArray[np.float64], depth: int, critical: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """For all M sets of the size: M x K, whether they separate a variable from the last one."""
    count = len(correlations) - 1
    parts = list(subsets(count, depth, max(1, _AT_ONCE // (count + 1))))
    found = [independent_of_last(correlations[None], part, critical)[0] for part in parts]
    return np.concatenate(found), np.concatenate(parts)


def _removed_in_turn(independent: NDArray[np.bool_], sets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Variables that go when each is tested in turn, with sets of those not yet gone; length K."""
    complete = np.ones(len(sets), dtype=bool)
    removed = np.zeros(independent.shape[1], dtype=bool)
    for variable in range(independent.shape[1]):
        if (independent[:, variable] & complete).any():
            removed[variable] = True
            complete &= ~(sets == variable).any(axis=1)
    return removed
