"""Meek's rules: what follows from the edges of a graph that have a direction already."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.graph import Mark

if TYPE_CHECKING:
    from numpy.typing import NDArray


def apply_meek_rules(marks: NDArray[np.int8]) -> NDArray[np.int8]:
    """Direct edges by rules 1 to 3 of Meek 1995 until none applies; none may close a cycle.

    1. i -> j - k, i and k not adjacent: j -> k, for it would be a collider otherwise;
    2. i -> j -> k and i - k: i -> k, for it would be a cycle otherwise;
    3. i - j -> l, i - k -> l, i - l, j and k not adjacent: i -> l.

    Rule 4 is for background knowledge, of which there is none. From data with errors of tests the
    rules can contradict each other; the first that applies then wins. The order is that of
    causal-learn: edges with a tail before those with an arrowhead at the far node, then by far and
    by near node.

    Args:
        marks: N x N as in ``CausalGraph``, tails and arrowheads.

    Returns:
        A changed copy.
    """
    edges = _Edges(marks)
    triples = _triples(marks)
    shielded = marks[triples[:, 0], triples[:, 2]] != Mark.NONE
    chains, triangles = triples[~shielded], triples[shielded]
    changed = True
    while changed:
        changed = False
        for i, j, k in _where_undirected(edges, chains, 1, 2).tolist():
            changed |= j in edges.children[i] and edges.direct(j, k)
        for i, j, k in _where_undirected(edges, triangles, 0, 2).tolist():
            changed |= j in edges.children[i] and k in edges.children[j] and edges.direct(i, k)
        for i, j, k, last in _kites(edges, triangles):
            changed |= (
                last in edges.children[j]
                and last in edges.children[k]
                and edges.undirected[i, j]
                and edges.undirected[i, k]
                and edges.direct(i, last)
            )
    return edges.marks


class _Edges:
    """The edges as they become directed.

    Attributes:
        marks: N x N.
        undirected: N x N, symmetric: i - j.
        children: by i the set of all j with i -> j.
        above: by j a number whose bit i says that a directed path leads from i to j, or i is j.
    """

    def __init__(self, marks: NDArray[np.int8]) -> None:
        self.marks = marks.copy()
        self.undirected = (marks == Mark.TAIL) & (marks.T == Mark.TAIL)
        directed = (marks == Mark.ARROW) & (marks.T == Mark.TAIL)
        self.children = [set(np.flatnonzero(row).tolist()) for row in directed]
        self.above = [1 << node for node in range(len(marks))]
        for tail, head in zip(*np.nonzero(directed), strict=True):
            self._lead(int(tail), int(head))

    def direct(self, tail: int, head: int) -> bool:
        """Turn tail - head into tail -> head, if it is still without direction and no cycle."""
        if not self.undirected[tail, head] or self.above[tail] >> head & 1:
            return False
        self.undirected[tail, head] = self.undirected[head, tail] = False
        self.marks[tail, head] = Mark.ARROW
        self.children[tail].add(head)
        self._lead(tail, head)
        return True

    def _lead(self, tail: int, head: int) -> None:
        for node, above in enumerate(self.above):
            if above >> head & 1:
                self.above[node] = above | self.above[tail]


def _triples(marks: NDArray[np.int8]) -> NDArray[np.int64]:
    """All i, j, k with edges between i and j and between j and k, in the order of the rules."""
    adjacent = marks != Mark.NONE
    near, far = np.nonzero(adjacent)
    order = np.lexsort((near, far, marks[near, far] == Mark.ARROW))
    near, far = near[order], far[order]
    place = np.zeros(marks.shape, dtype=np.int64)
    place[near, far] = np.arange(len(order))
    pair, last = np.nonzero(adjacent[far])
    triples = np.column_stack([near[pair], far[pair], last])
    triples = triples[np.lexsort((place[triples[:, 1], last], pair))]
    found: NDArray[np.int64] = triples[triples[:, 0] != triples[:, 2]]
    return found


def _where_undirected(
    edges: _Edges, rows: NDArray[np.int64], tail: int, head: int
) -> NDArray[np.int64]:
    """The rows in which the edge between two of their nodes still has no direction."""
    found: NDArray[np.int64] = rows[edges.undirected[rows[:, tail], rows[:, head]]]
    return found


def _kites(edges: _Edges, triangles: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    """All i, j, k, l with i - j, i - k, i - l, edges j l and k l, and j, k not adjacent, j < k."""
    found = []
    sides = defaultdict(list)
    rows = _where_undirected(edges, _where_undirected(edges, triangles, 0, 2), 0, 1)
    for place, (i, j, last) in enumerate(rows.tolist()):
        sides[i, last].append((place, j))
    for (i, last), middle in sides.items():
        for (first, j), (second, k) in permutations(middle, 2):
            if j < k and edges.marks[j, k] == Mark.NONE:
                found.append((first, second, i, j, k, last))
    return [row[2:] for row in sorted(found)]
