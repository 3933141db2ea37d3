"""Classes of equivalent acyclic graphs, with sets of nodes as bits of a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.graph import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pdag:
    """Edges with and without a direction; a set of nodes is a number whose bit i stands for i.

    Attributes:
        parents: of each node, the set of those with an edge into it.
        children: of each node, the set of those that it has an edge into.
        neighbours: of each node, the set of those that it has an edge without direction to.
    """

    parents: list[int]
    children: list[int]
    neighbours: list[int]

    @classmethod
    def without_edges(cls, count: int) -> Pdag:
        """A graph of ``count`` nodes and no edge."""
        return cls([0] * count, [0] * count, [0] * count)

    def copy(self) -> Pdag:
        """A copy that changes on its own."""
        return Pdag(self.parents.copy(), self.children.copy(), self.neighbours.copy())

    def adjacent(self, node: int) -> int:
        """The set of all nodes that share an edge with one."""
        return self.parents[node] | self.children[node] | self.neighbours[node]

    def add(self, tail: int, head: int) -> None:
        """Insert ``tail -> head`` between nodes that share no edge."""
        self.parents[head] |= 1 << tail
        self.children[tail] |= 1 << head

    def remove(self, one: int, other: int) -> None:
        """Take away whatever edge two nodes share."""
        for node, far in ((one, 1 << other), (other, 1 << one)):
            self.parents[node] &= ~far
            self.children[node] &= ~far
            self.neighbours[node] &= ~far

    def direct(self, tail: int, head: int) -> None:
        """Turn ``tail - head`` into ``tail -> head``."""
        self.remove(tail, head)
        self.add(tail, head)

    def is_clique(self, nodes: int) -> bool:
        """Whether each two nodes of a set share an edge."""
        return all(nodes & ~self.adjacent(node) == 1 << node for node in members(nodes))

    def reached(self, start: int, avoiding: int = 0, known: Mapping[int, int] | None = None) -> int:
        """The nodes that paths lead to which go against no arrow and enter none of a set.

        Args:
            start: where the paths begin.
            avoiding: the set.
            known: by start, what is reached from others while avoiding the same.
        """
        known = known or {}
        found = frontier = 1 << start
        while frontier:
            following = 0
            for node in members(frontier):
                if node in known:
                    found |= known[node]
                else:
                    following |= self.children[node] | self.neighbours[node]
            frontier = following & ~found & ~avoiding
            found |= frontier
        return found

    def to_marks(self) -> NDArray[np.int8]:
        """N x N marks as in ``CausalGraph``."""
        marks = np.full((len(self.parents), len(self.parents)), Mark.NONE, dtype=np.int8)
        for node in range(len(self.parents)):
            marks[node, list(members(self.children[node]))] = Mark.ARROW
            marks[node, list(members(self.parents[node] | self.neighbours[node]))] = Mark.TAIL
        return marks


def members(nodes: int) -> Iterator[int]:
    """The nodes of a set, in ascending order."""
    while nodes:
        lowest = nodes & -nodes
        yield lowest.bit_length() - 1
        nodes ^= lowest


def completed(graph: Pdag) -> Pdag:
    """The class of equivalent acyclic graphs that a partly directed graph stands for.

    Raises:
        ValueError: no acyclic graph has these edges and colliders and no others.
    """
    order, parents = consistent_extension(graph)
    return equivalence_class(order, parents)


def consistent_extension(graph: Pdag) -> tuple[list[int], list[int]]:
    """An acyclic graph with the edges and colliders of a partly directed one, and no others.

    Dor, Tarsi 1992: a node that has no edge out of it, and whose neighbours share edges with all
    nodes that it shares an edge with, becomes the end of all its edges and is put aside; then the
    next.

    Returns:
        The nodes, causes before effects; and the set of parents of each node.

    Raises:
        ValueError: there is none.
    """
    adjacent = [graph.adjacent(node) for node in range(len(graph.parents))]
    parents = [0] * len(adjacent)
    backwards: list[int] = []
    left = (1 << len(adjacent)) - 1
    candidates = list(range(len(adjacent)))
    while candidates:
        node = candidates.pop()
        around = adjacent[node] & left
        if not left >> node & 1 or graph.children[node] & left:
            continue
        if any(
            around & ~adjacent[one] != 1 << one for one in members(graph.neighbours[node] & left)
        ):
            continue
        parents[node] = around
        left ^= 1 << node
        backwards.append(node)
        candidates += members(around)  # only they can have become an end
    if left:
        raise ValueError("no acyclic graph has these edges and colliders")
    return backwards[::-1], parents


def equivalence_class(order: list[int], parents: list[int]) -> Pdag:
    """What all acyclic graphs share that have the edges and colliders of a given one.

    Chickering 1995 tells which edges are compelled. Nodes are taken in causal order; the edges into
    a node all follow from that of its latest parent.

    Args:
        order: the nodes, causes before effects.
        parents: the set of parents of each node.
    """
    place = {node: position for position, node in enumerate(order)}
    found = Pdag.without_edges(len(order))
    for node in order:
        if not parents[node]:
            continue
        latest = max(members(parents[node]), key=place.__getitem__)
        compelled = found.parents[latest]
        if compelled & ~parents[node] or parents[node] & ~parents[latest] & ~(1 << latest):
            compelled = parents[node]
        found.parents[node] = compelled
        found.neighbours[node] |= parents[node] & ~compelled
        for parent in members(compelled):
            found.children[parent] |= 1 << node
        for parent in members(parents[node] & ~compelled):
            found.neighbours[parent] |= 1 << node
    return found
