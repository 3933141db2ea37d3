"""Greedy equivalence search: the class of acyclic graphs of the best BIC, one edge at a time."""

from __future__ import annotations

from collections import defaultdict
from heapq import merge
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from rca_benchmark.causal.cpdag import Pdag, completed, members
from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.causal.series import SINGULAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# Most neighbours of an effect that one step may turn into its causes, or into its effects.
MOST_TURNED: Final = 4


def ges(names: tuple[str, ...], correlations: NDArray[np.float64], rows: int) -> CausalGraph:
    """Greedy equivalence search with the BIC of linear Gaussian models.

    Chickering, JMLR 2002: from no edge, first the insertion that raises the score most, again and
    again, until none raises it; then deletions in the same way (theorems 15 and 17: which are
    valid; corollaries 16 and 18: what they change in the score). After a step, only nodes whose
    edges or whose neighbours' edges changed get new operators (Ramsey et al. 2017).

    Args:
        names: of the N variables.
        correlations: N x N; none is determined by others.
        rows: from how many the correlations were computed.

    Returns:
        The class of equivalent graphs: compelled edges directed, the others not.
    """
    gains = _Gains(correlations, rows)
    graph = _climb(Pdag.without_edges(len(names)), _Search(gains, _insertions, _insert))
    graph = _climb(graph, _Search(gains, _deletions, _delete))
    return CausalGraph(names, graph.to_marks())


class _Operator(NamedTuple):
    """A step that may be taken between a cause and an effect.

    Attributes:
        loss: what it takes from the score; below 0.
        effect: Y of the paper.
        cause: X of the paper.
        turned: T or H of the paper, a set of neighbours of the effect.
        blocking: the nodes that every path from effect to cause must pass; None: not looked at.
    """

    loss: float
    effect: int
    cause: int
    turned: int
    blocking: int | None


class _Search(NamedTuple):
    """One of the two phases.

    Attributes:
        gains: of edges.
        operators: by graph and effect, all that raise the score, the best first.
        apply: takes a step.
    """

    gains: _Gains
    operators: Callable[[_Gains, Pdag, int], list[_Operator]]
    apply: Callable[[Pdag, _Operator], None]


class _Gains:
    """What an edge adds to the BIC, from correlations alone; kept once computed."""

    def __init__(self, correlations: NDArray[np.float64], rows: int) -> None:
        self._correlations = correlations
        self._rows = rows
        self._known: dict[tuple[int, int], NDArray[np.float64]] = {}

    def __call__(self, effect: int, given: int) -> NDArray[np.float64]:
        """By cause, the gain of cause -> effect where the effect has the given parents already.

        It is -n/2 log(1 - r^2) - log(n)/2 with their partial correlation r; no evidence is counted
        where the others leave less than ``SINGULAR`` of the variance of either.
        """
        if (effect, given) not in self._known:
            self._known[effect, given] = self._compute(effect, list(members(given)))
        return self._known[effect, given]

    def _compute(self, effect: int, given: list[int]) -> NDArray[np.float64]:
        shared = self._correlations[given]
        solved = np.linalg.solve(shared[:, given], shared)
        left = 1.0 - np.einsum("ij,ij->j", shared, solved)
        covariance = self._correlations[effect] - shared[:, effect] @ solved
        usable = (left > SINGULAR) & (left[effect] > SINGULAR)
        explained = np.where(usable, covariance, 0.0) ** 2 / np.where(usable, left, 1.0)
        explained = np.minimum(explained / max(left[effect], SINGULAR), 1.0 - SINGULAR)
        gain: NDArray[np.float64] = -0.5 * (self._rows * np.log1p(-explained) + np.log(self._rows))
        return gain


def _climb(graph: Pdag, search: _Search) -> Pdag:
    """Take the best valid step until none is left."""
    count = len(graph.parents)
    steps = [search.operators(search.gains, graph, effect) for effect in range(count)]
    while True:
        best = _best_open(graph, steps)
        if best is None:
            return graph
        changed = graph.copy()
        search.apply(changed, best)
        changed = completed(changed)
        for effect in _touched(graph, changed, best):
            steps[effect] = search.operators(search.gains, changed, effect)
        graph = changed


def _touched(before: Pdag, after: Pdag, step: _Operator) -> Iterator[int]:
    """The effects whose operators a step may have changed."""
    ends = 1 << step.cause | 1 << step.effect
    for node in range(len(after.parents)):
        if (
            after.neighbours[node] & ends
            or after.parents[node] != before.parents[node]
            or after.children[node] != before.children[node]
            or after.neighbours[node] != before.neighbours[node]
        ):
            yield node


def _best_open(graph: Pdag, steps: list[list[_Operator]]) -> _Operator | None:
    """The best step that closes no cycle."""
    reached: defaultdict[int, dict[int, int]] = defaultdict(dict)  # by blocking nodes and effect
    for step in merge(*steps):
        if step.blocking is None:
            return step
        known = reached[step.blocking]
        if step.effect not in known:
            known[step.effect] = graph.reached(step.effect, step.blocking, known)
        if not known[step.effect] >> step.cause & 1:
            return step
    return None


def _insertions(gains: _Gains, graph: Pdag, effect: int) -> list[_Operator]:
    """All Insert(X, Y, T) of one Y that raise the score; the path condition is left to check."""
    causes: dict[int, list[int]] = {}  # by the neighbours of the effect that they are adjacent to
    near = graph.adjacent(effect) | 1 << effect
    neighbours = graph.neighbours[effect]
    adjacent = [graph.adjacent(node) for node in range(len(graph.parents))]
    for cause, around in enumerate(adjacent):
        if not near >> cause & 1:
            causes.setdefault(neighbours & around, []).append(cause)
    found = []
    for common, group in causes.items():
        if not graph.is_clique(common):
            continue
        for clique in _cliques(adjacent, common, neighbours & ~common):
            gain = gains(effect, clique | graph.parents[effect])
            found += [
                _Operator(-float(gain[cause]), effect, cause, clique & ~common, clique)
                for cause in group
                if gain[cause] > 0
            ]
    return sorted(found)


def _cliques(adjacent: list[int], clique: int, others: int) -> Iterator[int]:
    """A clique, and all that it becomes with up to ``MOST_TURNED`` other nodes."""
    for node in members(clique):
        others &= adjacent[node]
    growing = [(clique, others)]
    yield clique
    for _ in range(MOST_TURNED):
        growing = [
            (nodes | 1 << node, left & adjacent[node] & -(1 << node))
            for nodes, left in growing
            for node in members(left)
        ]
        yield from (nodes for nodes, _ in growing)


def _insert(graph: Pdag, step: _Operator) -> None:
    graph.add(step.cause, step.effect)
    for node in members(step.turned):
        graph.direct(node, step.effect)


def _deletions(gains: _Gains, graph: Pdag, effect: int) -> list[_Operator]:
    """All valid Delete(X, Y, H) of one Y that raise the score."""
    found = []
    for cause in members(graph.parents[effect] | graph.neighbours[effect]):
        common = graph.neighbours[effect] & graph.adjacent(cause)
        for turned in _subsets(common):
            kept = common & ~turned
            if graph.is_clique(kept):
                given = kept | graph.parents[effect] & ~(1 << cause)
                loss = float(gains(effect, given)[cause])
                if loss < 0:
                    found.append(_Operator(loss, effect, cause, turned, None))
    return sorted(found)


def _subsets(nodes: int) -> Iterator[int]:
    """All sets of up to ``MOST_TURNED`` of some nodes."""
    bits = [1 << node for node in members(nodes)]
    for size in range(MOST_TURNED + 1):
        yield from map(sum, combinations(bits, size))


def _delete(graph: Pdag, step: _Operator) -> None:
    graph.remove(step.cause, step.effect)
    for node in members(step.turned):
        graph.direct(step.effect, node)
        if graph.neighbours[step.cause] >> node & 1:
            graph.direct(step.cause, node)
