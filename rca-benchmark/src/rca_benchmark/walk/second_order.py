"""A walk that remembers its last step, solved exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH: Final = 1000
UNREACHED: Final = 1e-9  # visits that order nodes which no walk reaches, and change no other order


def expected_visits(
    weights: NDArray[np.float64],
    start: int,
    restart: NDArray[np.float64],
    *,
    beta: float = 1.0,
    length: int = LENGTH,
) -> NDArray[np.float64]:
    """How often a walk of so many steps is expected at each node; its start does not count.

    Wang et al.: CloudRanger, CCGRID 2018: with p the weights, each row divided by its sum, a walk
    that came from k to i goes on to j, where p[i, j] > 0, with a chance in proportion to (1 - beta)
    p[k, i] + beta p[i, j]. The first step, and the first after a new beginning, goes by p alone, as
    do all with a beta of 1. From a node that has no step the walk begins anew.

    The chance to be on the step (i, j) is a[i] + b[i] p[i, j] where there is such a step: what
    came to i by different steps adds up to two numbers. So 2 N numbers are the state, not N^2.

    Args:
        weights: N x N, 0 or more, of the steps; a node may step to itself.
        start: a node.
        restart: length N, 0 or more: where the walk begins anew.
        beta: how little the last step matters, more than 0, at most 1.
        length: steps of the walk; a new beginning counts as one.

    Returns:
        Length N; the sum is ``length``, or less where the walk has nowhere to begin anew.
    """
    count = len(weights)
    total = weights.sum(axis=1)
    dead = total == 0
    moves = weights / np.where(dead, 1.0, total)[:, None]
    allowed = (moves > 0).astype(np.float64)
    arrive = np.hstack([allowed.T, moves.T])  # N x 2 N: from the state to what comes to each node
    advance = _advance(moves, allowed, beta)
    begin = restart / (restart.sum() or 1.0)
    state = np.zeros(2 * count)
    state[count + start] = 1.0
    visited = np.zeros(count)
    for _ in range(length):
        anew = begin * state[count:][dead].sum()
        state[count:][dead] = 0.0
        came = arrive @ state + anew
        visited += came
        state = advance @ state
        state[count:] += np.where(dead, came, anew)
    return visited


def _advance(
    moves: NDArray[np.float64], allowed: NDArray[np.float64], beta: float
) -> NDArray[np.float64]:
    """2 N x 2 N: the state after a step; what comes to a node without steps is lost."""
    degree = allowed.sum(axis=1)
    remembered = (1 - beta) * moves
    scale = np.where(degree > 0, degree * remembered + beta, np.inf)
    same, new = remembered / scale, beta / scale
    return np.block([[(allowed * same).T, (moves * same).T], [(allowed * new).T, (moves * new).T]])
