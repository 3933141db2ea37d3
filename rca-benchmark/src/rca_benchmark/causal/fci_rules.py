"""The orientation rules of FCI that hold where no sample was selected: R1 to R4, R8 to R10."""

from __future__ import annotations

from collections import deque
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.causal.graph import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rca_benchmark.causal.skeleton import Skeleton

NONE, TAIL, ARROW, CIRCLE = (int(mark) for mark in Mark)
Marks = list[list[int]]


def apply_arrowhead_rules(marks: NDArray[np.int8], skeleton: Skeleton) -> NDArray[np.int8]:
    """R1 to R4 of Zhang 2008, section 3.2, until none applies.

    Args:
        marks: N x N as in ``CausalGraph``, after the unshielded colliders are known.
        skeleton: tells what separates.

    Returns:
        A changed copy.
    """
    found: Marks = marks.tolist()
    neighbours = _neighbours(marks)
    changed = True
    while changed:
        changed = _away_from_arrows(found, neighbours)
        changed |= _double_triangles(found, neighbours)
        changed |= _discriminating_paths(found, neighbours, skeleton)
    return np.array(found, dtype=np.int8).reshape(marks.shape)


def apply_tail_rules(marks: NDArray[np.int8]) -> NDArray[np.int8]:
    """R8 to R10 of Zhang 2008, section 3.3, until none applies: a o-> c becomes a -> c.

    Args:
        marks: N x N, after R1 to R4.

    Returns:
        A changed copy.
    """
    found: Marks = marks.tolist()
    neighbours = _neighbours(marks)
    paths = _UncoveredPaths(found, neighbours)
    changed = True
    while changed:
        changed = False
        for a, row in enumerate(found):
            for c in neighbours[a]:
                if row[c] == ARROW and found[c][a] == CIRCLE:
                    sure = (
                        _rule_8(found, neighbours, a, c)
                        or _rule_9(found, paths, a, c)
                        or _rule_10(found, neighbours, paths, a, c)
                    )
                    if sure:
                        found[c][a] = TAIL
                        changed = True
    return np.array(found, dtype=np.int8).reshape(marks.shape)


def _neighbours(marks: NDArray[np.int8]) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in marks]


def _away_from_arrows(marks: Marks, neighbours: list[list[int]]) -> bool:
    """R1: a *-> b o-* c, a and c not adjacent: b -> c. R2: a -> b *-> c or a *-> b -> c: a *-> c.

    Returns:
        Whether a mark changed, as all rules do.
    """
    changed = False
    for b, around in enumerate(neighbours):
        for ends in combinations(around, 2):
            if not marks[ends[0]][ends[1]]:
                for a, c in (ends, ends[::-1]):
                    if marks[a][b] == ARROW and marks[c][b] == CIRCLE and marks[b][c] != TAIL:
                        marks[c][b], marks[b][c] = TAIL, ARROW
                        changed = True
            else:
                for a, c in (ends, ends[::-1]):
                    into = marks[a][b] == ARROW and marks[b][c] == ARROW
                    if marks[a][c] == CIRCLE and into and TAIL in (marks[b][a], marks[c][b]):
                        marks[a][c] = ARROW
                        changed = True
    return changed


def _double_triangles(marks: Marks, neighbours: list[list[int]]) -> bool:
    """R3: a *-> b <-* c, a *-o d o-* c, a and c not adjacent, d *-o b: d *-> b."""
    changed = False
    for b, around in enumerate(neighbours):
        into = [a for a in around if marks[a][b] == ARROW]
        for d in [d for d in around if marks[d][b] == CIRCLE]:
            open_to = [a for a in into if marks[a][d] == CIRCLE]
            if any(not marks[a][c] for a, c in combinations(open_to, 2)):
                marks[d][b] = ARROW
                changed = True
    return changed


def _discriminating_paths(marks: Marks, neighbours: list[list[int]], skeleton: Skeleton) -> bool:
    """R4: d ... a <-* b o-* c discriminates b: b -> c if b separates d and c, else a <-> b <-> c.

    Each node between d and b is a collider on the path and a parent of c; d and c are not adjacent.
    """
    changed = False
    for b, around in enumerate(neighbours):
        for a in [a for a in around if marks[b][a] == ARROW]:
            for c in around:
                if marks[c][b] != CIRCLE or marks[b][c] != ARROW or not _is_parent(marks, a, c):
                    continue
                for d in _ends_of_discriminating_paths(marks, neighbours, a, b, c):
                    if b in skeleton.between(d, c):
                        marks[c][b] = TAIL
                    elif marks[a][b] != TAIL:
                        marks[a][b] = marks[c][b] = ARROW
                    else:
                        continue
                    changed = True
                    break
    return changed


def _ends_of_discriminating_paths(
    marks: Marks, neighbours: list[list[int]], a: int, b: int, c: int
) -> Iterator[int]:
    """All d of paths d ... a, b, c that discriminate b, short ones first."""
    onward = deque([(a, b)])
    seen = {a, b, c}
    while onward:
        node, after = onward.popleft()
        if marks[after][node] != ARROW:
            continue
        for d in neighbours[node]:
            if d in seen or marks[d][node] != ARROW:
                continue
            if not marks[d][c]:
                yield d
            elif _is_parent(marks, d, c):
                seen.add(d)
                onward.append((d, node))


def _is_parent(marks: Marks, a: int, b: int) -> bool:
    return marks[a][b] == ARROW and marks[b][a] == TAIL


def _rule_8(marks: Marks, neighbours: list[list[int]], a: int, c: int) -> bool:
    """R8: a -> b -> c, or a -o b -> c."""
    return any(
        marks[b][a] == TAIL and marks[a][b] in (ARROW, CIRCLE) and _is_parent(marks, b, c)
        for b in neighbours[a]
    )


def _rule_9(marks: Marks, paths: _UncoveredPaths, a: int, c: int) -> bool:
    """R9: an uncovered potentially directed path a, b, ..., c, with b and c not adjacent."""
    return any(not marks[b][c] and c in paths.ends(a, b) for b in paths.steps[a] if b != c)


def _rule_10(
    marks: Marks, neighbours: list[list[int]], paths: _UncoveredPaths, a: int, c: int
) -> bool:
    """R10: b -> c <- d, uncovered potentially directed paths from a to b and from a to d.

    Their first nodes after a differ and are not adjacent.
    """
    parents = {b for b in neighbours[c] if b != a and _is_parent(marks, b, c)}
    if len(parents) < 2:
        return False
    reached = {first: parents & (paths.ends(a, first) | {first}) for first in paths.steps[a]}
    return any(
        not marks[first][second] and reached[second] and len(reached[first] | reached[second]) > 1
        for first, second in permutations([node for node in reached if reached[node]], 2)
    )


class _UncoveredPaths:
    """Paths without an arrowhead against them, of which no three nodes in a row form a triangle.

    The tail rules change no such path: they make no edge walkable, nor one that is impassable.

    Attributes:
        steps: by node, where an edge may be directed from it to.
    """

    def __init__(self, marks: Marks, neighbours: list[list[int]]) -> None:
        self.steps = [
            [j for j in around if marks[j][i] != ARROW and marks[i][j] != TAIL]
            for i, around in enumerate(neighbours)
        ]
        self._marks = marks
        self._known: dict[tuple[int, int], frozenset[int]] = {}

    def ends(self, start: int, first: int) -> frozenset[int]:
        """All ends of paths of three or more nodes that begin with these two."""
        if (start, first) not in self._known:
            self._known[start, first] = self._find(start, first)
        return self._known[start, first]

    def _find(self, start: int, first: int) -> frozenset[int]:
        onward = deque([(start, first, frozenset((start, first)))])
        seen = {(start, first)}
        found = set()
        while onward:
            before, node, path = onward.popleft()
            for after in self.steps[node]:
                if after in path or self._marks[before][after] or (node, after) in seen:
                    continue
                seen.add((node, after))
                found.add(after)
                onward.append((node, after, path | {after}))
        return frozenset(found)
