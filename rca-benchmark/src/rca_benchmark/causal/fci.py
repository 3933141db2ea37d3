"""The FCI algorithm: causes where not every common cause was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.fci_rules import apply_arrowhead_rules, apply_tail_rules
from rca_benchmark.causal.graph import CausalGraph, Mark
from rca_benchmark.causal.pc import unshielded_triples
from rca_benchmark.causal.possible_d_sep import separate_further

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.causal.skeleton import Skeleton


def fci(
    names: tuple[str, ...],
    skeleton: Skeleton,
    correlations: NDArray[np.float64],
    rows: int,
    alpha: float,
) -> CausalGraph:
    """From the skeleton that PC begins with to a partial ancestral graph.

    Spirtes, Meek, Richardson 1995; the rules are R1 to R4 and R8 to R10 of Zhang 2008, which are
    all there are when no sample was selected by what came of it.

    Args:
        names: of the N variables.
        skeleton: over the same N.
        correlations: N x N.
        rows: T, from how many they were computed.
        alpha: level of each test.

    Returns:
        i -> j: i causes j. i <-> j: neither causes the other, something not measured causes both.
        i o-> j: j does not cause i. i o-o j: nothing is known but that there is an edge.
    """
    first = with_arrows_at_colliders(skeleton)
    final = separate_further(skeleton, first, correlations, rows, alpha)
    marks = apply_arrowhead_rules(with_arrows_at_colliders(final), final)
    return CausalGraph(names, apply_tail_rules(marks))


def with_arrows_at_colliders(skeleton: Skeleton) -> NDArray[np.int8]:
    """R0: circles, but arrowheads at j where no set that separates i and k needs j: i *-> j <-* k.

    Unlike in PC two colliders cannot contradict each other: an edge may have two arrowheads.
    """
    marks = np.where(skeleton.adjacency, Mark.CIRCLE, Mark.NONE).astype(np.int8)
    for middle, i, k in unshielded_triples(skeleton.adjacency):
        if middle not in skeleton.between(i, k):
            marks[i, middle] = marks[k, middle] = Mark.ARROW
    return marks
