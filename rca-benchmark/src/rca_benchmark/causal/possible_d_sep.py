"""The second adjacency search of FCI: what only variables further away can separate."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.graph import Mark
from rca_benchmark.causal.partial_correlation import critical_correlation, independent_pair
from rca_benchmark.causal.skeleton import Skeleton, subsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TESTS: Final = 5_000_000
_AT_ONCE: Final = 5_000  # sets


def possible_d_sep(adjacent: list[int], into: list[int], start: int, without: int) -> list[int]:
    """Possible-D-SEP of a variable with respect to another one, ascending.

    Spirtes, Glymour, Scheines 2000, section 6.7: all that a path from ``start`` reaches on which
    each inner node is a collider or in a triangle with its two neighbours on the path. Paths do
    not run through ``without``: where such a one is needed, no set separates the two.

    Args:
        adjacent: by node a number whose bit j says that there is an edge to j; from ``bits``.
        into: by node a number whose bit j says that the edge from j has an arrowhead here.
        start: where paths begin.
        without: the other variable.
    """
    outside = ~(1 << start | 1 << without)
    gone = [0] * len(adjacent)  # by node: to where paths went on from it
    gone[start] = reached = adjacent[start] & outside
    edges = [(start, node) for node in _places(reached)]
    for before, node in edges:  # grows
        onward = adjacent[before] & adjacent[node]
        if into[node] >> before & 1:
            onward |= into[node]
        onward &= outside & ~gone[node] & ~(1 << before)
        gone[node] |= onward
        reached |= onward
        edges += [(node, further) for further in _places(onward)]
    return _places(reached)


def bits(matrix: NDArray[np.bool_]) -> list[int]:
    """Each row as a number, column j as its bit j."""
    return [sum(1 << node for node in np.flatnonzero(row).tolist()) for row in matrix]


def separate_further(
    skeleton: Skeleton,
    marks: NDArray[np.int8],
    correlations: NDArray[np.float64],
    rows: int,
    alpha: float,
) -> Skeleton:
    """Removes edges whose ends are independent given a set of Possible-D-SEP members.

    All Possible-D-SEP sets are those of ``marks``, whatever edges go meanwhile (Colombo, Maathuis
    2014, FCI-stable). Of a pair the sets of the one side are tried before those of the other,
    small ones before large ones, and the first that separates is kept. Sets of fewer than two
    members, and those of neighbours of one of the two, have been tried before.

    Where all sets would be more than ``MOST_TESTS``, sets are no larger than the size up to which
    all sets of all pairs can be tried (Spirtes 2001, Anytime FCI: what the graph then says is
    still right, but it says less).

    Args:
        skeleton: over N variables.
        marks: N x N, of the skeleton after its colliders are known.
        correlations: N x N.
        rows: T, from how many they were computed.
        alpha: level of each test.
    """
    adjacent, into = bits(marks != Mark.NONE), bits(marks.T == Mark.ARROW)
    sides = {}
    tests = 0
    for x, y in np.argwhere(np.triu(skeleton.adjacency)).tolist():
        sides[x, y] = [possible_d_sep(adjacent, into, *way) for way in ((x, y), (y, x))]
        tests += sum(comb(len(side), 2) for side in sides[x, y])
        if tests > MOST_TESTS:
            return skeleton
    largest = min(_largest_size([len(side) for both in sides.values() for side in both]), rows - 4)
    adjacency, separating = skeleton.adjacency.copy(), dict(skeleton.separating)
    for pair, both in sides.items():
        for members in both:
            tried = adjacent[pair[0]], adjacent[pair[1]]
            found = _separating(correlations, rows, alpha, pair, members, tried, largest)
            if found is not None:
                adjacency[pair] = adjacency[pair[::-1]] = False
                separating[pair] = found
                break
    adjacency.setflags(write=False)
    return Skeleton(adjacency, separating)


def _largest_size(sizes: list[int]) -> int:
    """The size up to which all subsets of all sets are at most ``MOST_TESTS``."""
    tests, size = 0, 1
    while tests <= MOST_TESTS and size < max(sizes, default=0):
        size += 1
        tests += sum(comb(members, size) for members in sizes)
    return size if tests <= MOST_TESTS else size - 1


def _separating(
    correlations: NDArray[np.float64],
    rows: int,
    alpha: float,
    pair: tuple[int, int],
    members: list[int],
    tried: tuple[int, int],
    largest: int,
) -> frozenset[int] | None:
    """The first set that separates a pair, leaving out subsets of the two that were tried."""
    old = [np.array([bool(before >> node & 1) for node in members]) for before in tried]
    if not members or any(known.all() for known in old):
        return None
    nodes = np.array(members)
    for size in range(2, min(len(members), largest) + 1):
        critical = critical_correlation(rows, size, alpha)
        for sets in subsets(len(members), size, _AT_ONCE):
            new = ~(old[0][sets].all(axis=1) | old[1][sets].all(axis=1))
            chosen = nodes[sets[new]]
            hits = np.flatnonzero(independent_pair(correlations, pair, chosen, critical))
            if hits.size:
                return frozenset(chosen[hits[0]].tolist())
    return None


def _places(number: int) -> list[int]:
    """The places of the bits that are set, ascending."""
    found = []
    while number:
        lowest = number & -number
        found.append(lowest.bit_length() - 1)
        number ^= lowest
    return found
