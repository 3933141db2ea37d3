"""The PC algorithm: from a skeleton to the graph of all DAGs that fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.graph import CausalGraph, Mark
from rca_benchmark.causal.meek import apply_meek_rules

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.causal.skeleton import Skeleton


def pc(names: tuple[str, ...], skeleton: Skeleton) -> CausalGraph:
    """Directs the edges of a skeleton: unshielded colliders, then Meek's rules.

    Spirtes, Glymour, Scheines 2000, section 5.4.2; Meek 1995. The answer is a completed partially
    directed acyclic graph: i -> j where all DAGs that fit agree, i - j where they do not.

    Args:
        names: of the N variables.
        skeleton: over the same N.
    """
    return CausalGraph(names, apply_meek_rules(_with_colliders(skeleton)))


def _with_colliders(skeleton: Skeleton) -> NDArray[np.int8]:
    """Marks in which i -> j <- k where j is needed in no set that separates i and k.

    Where colliders contradict each other the first wins, by middle node, then by i, then by k.
    """
    marks = np.where(skeleton.adjacency, Mark.TAIL, Mark.NONE).astype(np.int8)
    for middle, i, k in unshielded_triples(skeleton.adjacency):
        taken = marks[middle, i] == Mark.ARROW or marks[middle, k] == Mark.ARROW
        if not taken and middle not in skeleton.between(i, k):
            marks[i, middle] = marks[k, middle] = Mark.ARROW
    return marks


def unshielded_triples(adjacency: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """All (middle, i, k), i < k, with edges to i and k, which are not adjacent; ascending."""
    found = []
    for middle, row in enumerate(adjacency):
        ends = np.flatnonzero(row)
        apart = np.triu(~adjacency[np.ix_(ends, ends)], k=1)
        found += [(middle, int(ends[i]), int(ends[k])) for i, k in np.argwhere(apart)]
    return found
