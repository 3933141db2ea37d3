"""The adjacency search that PC and FCI begin with."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations, islice
from math import comb
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.partial_correlation import critical_correlation, independent_of_last

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

MOST_TESTS: Final = 1_000_000_000
_AT_ONCE: Final = 100_000  # numbers per array: what a processor's cache holds


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Which of N variables are adjacent, and what separates those that are not.

    Attributes:
        adjacency: N x N, symmetric, read-only.
        separating: by pair (i, j), i < j, of variables that are not adjacent: all members of the
            sets that separate them, tried from either side at the depth at which the edge went.
            Pairs that are independent without any condition are left out.
    """

    adjacency: NDArray[np.bool_]
    separating: Mapping[tuple[int, int], frozenset[int]]

    def between(self, i: int, j: int) -> frozenset[int]:
        """What separates two variables that are not adjacent; maybe nothing is needed."""
        return self.separating.get((min(i, j), max(i, j)), frozenset())


def find_skeleton(correlations: NDArray[np.float64], rows: int, alpha: float) -> Skeleton:
    """The adjacency search of PC, in its stable form.

    Spirtes, Glymour, Scheines 2000, section 5.4.2; Colombo, Maathuis 2014, algorithm 4.1: from the
    complete graph, for depths d = 0, 1, 2, ..., an edge x - y goes when x and y are independent
    given any d of the neighbours that x or y had when the depth began. All sets of a depth are
    tried, so neither order nor early ends play a part. A test that cannot be made leaves the edge,
    and so does one that is not made: the search ends before the depth with which its tests would
    be more than ``MOST_TESTS``.

    Args:
        correlations: N x N.
        rows: T, from how many they were computed.
        alpha: level of each test.
    """
    adjacency = np.abs(correlations) >= critical_correlation(rows, 0, alpha)
    np.fill_diagonal(adjacency, val=False)
    separating: dict[tuple[int, int], frozenset[int]] = {}
    budget = MOST_TESTS
    for depth in range(1, rows - 3):
        tests = _tests(adjacency, depth)
        budget -= tests
        if tests == 0 or budget < 0:
            break
        critical = critical_correlation(rows, depth, alpha)
        found = _separated(correlations, adjacency, depth, critical)
        for pair, members in found.items():
            adjacency[pair] = adjacency[pair[::-1]] = False
            separating[pair] = frozenset(members)
    adjacency.setflags(write=False)
    return Skeleton(adjacency, separating)


def subsets(size: int, depth: int, at_once: int) -> Iterator[NDArray[np.int64]]:
    """All subsets of 0 ... size - 1 that have depth members, as arrays of at most so many rows."""
    every = combinations(range(size), depth)
    left = comb(size, depth)
    while left > 0:
        count = min(left, at_once)
        members = chain.from_iterable(islice(every, count))
        yield np.fromiter(members, dtype=np.int64, count=count * depth).reshape(count, depth)
        left -= count


def _tests(adjacency: NDArray[np.bool_], depth: int) -> int:
    """How many tests a depth takes; 0 where no node has neighbours enough."""
    degrees = adjacency.sum(axis=1).tolist()
    return sum((depth + 1) * comb(degree, depth + 1) for degree in degrees)


def _separated(
    correlations: NDArray[np.float64], adjacency: NDArray[np.bool_], depth: int, critical: float
) -> dict[tuple[int, int], set[int]]:
    """The adjacent pairs that sets of this depth separate, with all members of these sets."""
    found: dict[tuple[int, int], set[int]] = {}
    degrees = adjacency.sum(axis=1)
    for degree in np.unique(degrees[degrees > depth]):
        nodes = np.flatnonzero(degrees == degree)
        per_block = max((degree + 1) ** 2, comb(int(degree), depth) * (int(degree) + 1))
        for part in np.array_split(nodes, max(1, -(-len(nodes) * per_block // _AT_ONCE))):
            if part.size:
                neighbours = np.nonzero(adjacency[part])[1].reshape(len(part), degree)
                _separated_from(correlations, part, neighbours, depth, critical, found)
    return found


def _separated_from(
    correlations: NDArray[np.float64],
    nodes: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    depth: int,
    critical: float,
    found: dict[tuple[int, int], set[int]],
) -> None:
    """Add to ``found`` what separates G nodes from their K neighbours (G x K)."""
    count, degree = neighbours.shape
    variables = np.column_stack([neighbours, nodes])
    blocks = correlations[variables[:, :, None], variables[:, None, :]]
    members = np.zeros((count, degree, degree), dtype=bool)
    for sets in subsets(degree, depth, max(1, _AT_ONCE // (degree + 1))):
        group, chosen, other = np.nonzero(independent_of_last(blocks, sets, critical))
        members[group[:, None], other[:, None], sets[chosen]] = True
    for group, other in zip(*np.nonzero(members.any(axis=2)), strict=True):
        node, neighbour = int(nodes[group]), int(neighbours[group, other])
        pair = (min(node, neighbour), max(node, neighbour))
        separators = neighbours[group, members[group, other]].tolist()
        found.setdefault(pair, set()).update(separators)
