"""The one form that every causal discovery answers in: edges with a mark at each end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import networkx as nx
    from numpy.typing import NDArray


class Mark(IntEnum):
    """What an edge has at one of its ends."""

    NONE = 0
    TAIL = 1
    ARROW = 2
    CIRCLE = 3


@dataclass(frozen=True, eq=False)
class CausalGraph:
    """A mixed graph over named indicators.

    Attributes:
        names: of the N nodes.
        marks: N x N, int8 values of ``Mark``: ``marks[i, j]`` is the mark at j of the edge between
            i and j. ``i -> j`` is ``marks[i, j] == ARROW`` and ``marks[j, i] == TAIL``; no edge is
            ``NONE`` at both ends.
        weights: N x N, 0 or more: how strong the edge between i and j is, read where a walk steps
            from j to i as ``weights[i, j]``, like the coefficient of ``i -> j``. None: all alike.

    Raises:
        ValueError: shapes differ, or an edge has a mark at one end only.
    """

    names: tuple[str, ...]
    marks: NDArray[np.int8]
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.names))
        if self.marks.shape != shape or (self.weights is not None and self.weights.shape != shape):
            raise ValueError(f"{len(self.names)} names, but marks of shape {self.marks.shape}")
        here = self.marks == int(Mark.NONE)
        if (here != here.T).any():
            raise ValueError("an edge has a mark at one end only")
        if self.marks.diagonal().any():
            raise ValueError("an edge leads from a node to itself")

    @classmethod
    def from_causes(
        cls,
        names: tuple[str, ...],
        causes: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
    ) -> CausalGraph:
        """A graph from an adjacency in which ``causes[i, j]`` says that i causes j.

        Where both cause each other, the edge is bidirected. The diagonal is left out.
        """
        into = np.asarray(causes, dtype=bool) & ~np.eye(len(names), dtype=bool)
        marks = np.where(into, Mark.ARROW, np.where(into.T, Mark.TAIL, Mark.NONE))
        return cls(names, marks.astype(np.int8), weights)

    @property
    def edges(self) -> int:
        """The number of edges."""
        return int(np.count_nonzero(self.marks)) // 2

    @property
    def parents(self) -> NDArray[np.bool_]:
        """``parents[i, j]``: there is a directed edge i -> j."""
        found: NDArray[np.bool_] = (self.marks == Mark.ARROW) & (self.marks.T == Mark.TAIL)
        return found

    def steps_to_causes(self) -> NDArray[np.float64]:
        """Weights of a walk from effects to causes: ``[i, j]`` is that of a step from i to j.

        An arrowhead at j says that j is no cause of i, so there is no step to j; i <-> j, i - j and
        i o-o j can be walked both ways.
        """
        into = self.marks == int(Mark.ARROW)
        allowed = (self.marks != int(Mark.NONE)) & (~into | into.T)
        return np.where(allowed, 1.0 if self.weights is None else self.weights.T, 0.0)

    def to_networkx(self) -> nx.DiGraph[str]:
        """Each edge once, with attributes ``tail_mark`` and ``head_mark`` (names of marks).

        Directed and partly directed edges point along their arrow; others go from the node that
        comes first. ``weight`` is that along the edge, ``back_weight`` that against it.
        """
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.names)
        for i, j in zip(*np.nonzero(np.triu(self.marks)), strict=True):
            here, there = (
                (j, i)
                if self.marks[j, i] == Mark.ARROW and self.marks[i, j] != Mark.ARROW
                else (i, j)
            )
            graph.add_edge(
                self.names[here],
                self.names[there],
                tail_mark=Mark(int(self.marks[there, here])).name,
                head_mark=Mark(int(self.marks[here, there])).name,
                weight=1.0 if self.weights is None else float(self.weights[here, there]),
                back_weight=1.0 if self.weights is None else float(self.weights[there, here]),
            )
        return graph

    @classmethod
    def from_networkx(cls, graph: nx.DiGraph[str]) -> CausalGraph:
        """The inverse of ``to_networkx``; an edge without marks is directed.

        Two edges without marks that lead both ways are one that is bidirected.
        """
        names = tuple(graph.nodes)
        place = {name: index for index, name in enumerate(names)}
        marks = np.zeros((len(names), len(names)), dtype=np.int8)
        weights = np.ones(marks.shape)
        for source, target, data in graph.edges(data=True):
            i, j = place[source], place[target]
            both_ways = graph.has_edge(target, source)
            marks[j, i] = Mark[data.get("tail_mark", "ARROW" if both_ways else "TAIL")]
            marks[i, j] = Mark[data.get("head_mark", "ARROW")]
            weights[i, j] = data.get("weight", 1.0)
            if not both_ways:
                weights[j, i] = data.get("back_weight", 1.0)
        return cls(names, marks, weights)
