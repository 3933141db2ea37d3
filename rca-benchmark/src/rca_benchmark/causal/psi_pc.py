"""The neighbours of one node: the localised psi-PC of RCD, and its hierarchy of chunks."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GAMMA: Final = 5
ALPHA_STEP: Final = 0.1
CHUNK_ALPHA: Final = 0.01
FINAL_ALPHA: Final = 0.001
MOST_SETS: Final = 1000


@dataclass(frozen=True)
class TargetTests:
    """Tests of independence between one target and other nodes, each made once.

    Attributes:
        compute: from a node and a sorted conditioning set to the statistic and its p-value.
        known: what has been computed.
    """

    compute: Callable[[int, tuple[int, ...]], tuple[float, float]]
    known: dict[tuple[int, tuple[int, ...]], tuple[float, float]] = field(default_factory=dict)

    def p_value(self, node: int, given: tuple[int, ...]) -> float:
        """Of the hypothesis that node and target are independent given these nodes."""
        return self._result(node, given)[1]

    def strength(self, node: int) -> float:
        """The statistic without any condition; equal but for rounding is equal."""
        return float(f"{self._result(node, ())[0]:.9g}")

    def _result(self, node: int, given: tuple[int, ...]) -> tuple[float, float]:
        if (node, given) not in self.known:
            self.known[node, given] = self.compute(node, given)
        return self.known[node, given]


def neighbours(tests: TargetTests, nodes: Sequence[int], alpha: float) -> list[int]:
    """Nodes that no set of other neighbours separates from the target, the surest first.

    The skeleton phase of PC around one node: with sets of 0, 1, 2, ... of the nodes that are still
    neighbours, a node is removed at the first p-value above ``alpha``. The least dependent node is
    tested first, so that of two that separate each other the more dependent one stays. Sets of a
    size of which a node has more than ``MOST_SETS`` are not tried.

    Args:
        tests: of the target.
        nodes: what may be its neighbours; equally dependent ones are tested in this order.
        alpha: level of the tests.

    Returns:
        The neighbours by the largest of the p-values that they withstood, smallest first.
    """
    left = sorted(nodes, key=tests.strength)
    largest = dict.fromkeys(nodes, 0.0)
    size = 0
    while size < len(left) and comb(len(left) - 1, size) <= MOST_SETS:
        for node in list(left):
            others = sorted(other for other in left if other != node)
            for given in combinations(others, size):
                p_value = tests.p_value(node, given)
                largest[node] = max(largest[node], p_value)
                if p_value > alpha:
                    left.remove(node)
                    break
        size += 1
    return sorted(left, key=lambda node: (largest[node], -tests.strength(node)))


def psi_pc(tests: TargetTests, nodes: Sequence[int], alpha: float, enough: int) -> list[int]:
    """Nodes in the order in which they become neighbours as the level of the tests rises.

    Args:
        tests: of the target.
        nodes: what may be its neighbours.
        alpha: the first level; each further one is ``ALPHA_STEP`` higher, below 1.
        enough: stop once there are at least that many.
    """
    found: list[int] = []
    for level in np.arange(alpha, 1.0, ALPHA_STEP):
        found += [node for node in neighbours(tests, nodes, level) if node not in found]
        if len(found) >= enough:
            break
    return found


def rank_neighbours(
    tests: TargetTests, nodes: Sequence[int], rng: np.random.Generator
) -> list[int]:
    """The nodes, those most likely to be the target's neighbours first.

    Ikram et al., NeurIPS 2022, Algorithm 1: chunks of ``GAMMA`` nodes at random; what psi-PC finds
    in them makes up the next round, until at most ``GAMMA`` are left or none was removed; psi-PC
    on these gives the order. Behind them come the nodes that were removed, the last removed first,
    those of the same round by their unconditional dependence.

    Args:
        tests: of the target.
        nodes: what may be its neighbours.
        rng: makes the chunks; the order of equals is its as well.
    """
    left = [nodes[place] for place in rng.permutation(len(nodes))]
    removed: list[int] = []
    while True:
        chunks = (left[start : start + GAMMA] for start in range(0, len(left), GAMMA))
        kept = {node for chunk in chunks for node in psi_pc(tests, chunk, CHUNK_ALPHA, enough=1)}
        removed = _by_strength(tests, set(left) - kept, left) + removed
        done = len(kept) <= GAMMA or len(kept) == len(left)
        left = [left[place] for place in rng.permutation(len(left)) if left[place] in kept]
        if done:
            break
    found = psi_pc(tests, left, FINAL_ALPHA, enough=len(left))
    return [*found, *_by_strength(tests, set(left) - set(found), left), *removed]


def _by_strength(tests: TargetTests, nodes: set[int], order: Sequence[int]) -> list[int]:
    """The most dependent first, equals in the given order."""
    return sorted((node for node in order if node in nodes), key=lambda node: -tests.strength(node))
