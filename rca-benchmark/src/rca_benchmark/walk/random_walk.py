"""Random walks towards causes, solved exactly instead of sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.walk.pagerank import DAMPING, pagerank

if TYPE_CHECKING:
    from numpy.typing import NDArray

BACKWARD: Final = 0.2


def first_order_steps(
    steps: NDArray[np.float64],
    similarity: NDArray[np.float64],
    *,
    backward: float = BACKWARD,
) -> NDArray[np.float64]:
    """Weights of a walk that prefers what resembles the symptom.

    Kim, Sumbaly, Shah: MonitorRank, SIGMETRICS 2013, section 4.2; the same form in Wang et al.:
    CloudRanger, CCGRID 2018, equations 4 to 6. For a step from i to j of weight w:

    * forward, i to j: w similarity[j];
    * backward, j to i, where there is no step that way: ``backward`` w similarity[i], so that the
      walk can leave a dead end;
    * staying at i: what similarity[i] exceeds that of every node it can step to, or 0.

    Args:
        steps: N x N, 0 or more: ``steps[i, j]`` is the weight of the step from effect i to cause j;
            scaled so that the largest is 1.
        similarity: length N, 0 to 1: how much each node resembles the symptom.
        backward: share of a forward step that a step back weighs, 0 to 1.

    Returns:
        N x N weights, not normalised; a row of zeros where the walk can go nowhere.
    """
    weights = steps / (steps.max(initial=0.0) or 1.0)
    one_way = (weights > 0) & (weights.T == 0)
    forward = weights * similarity
    back = backward * np.where(one_way, weights, 0.0).T * similarity
    ahead = np.where(weights > 0, similarity, 0.0).max(axis=1, initial=0.0)
    return forward + back + np.diag(np.maximum(similarity - ahead, 0.0))


def visits(
    steps: NDArray[np.float64],
    similarity: NDArray[np.float64],
    front: int,
    *,
    backward: float = BACKWARD,
    damping: float = DAMPING,
) -> NDArray[np.float64]:
    """The share of time that MonitorRank's walk spends at each node, in the limit.

    With probability ``damping`` the walk goes on by ``first_order_steps``; else, and from where it
    can go nowhere, it begins anew at a node chosen by similarity. It never enters the node at
    which the symptom shows. The limit is that of PageRank and solved exactly.

    Args:
        steps: N x N, towards causes.
        similarity: length N, 0 to 1.
        front: the node at which the symptom shows.
        backward: see ``first_order_steps``.
        damping: see ``pagerank``.

    Returns:
        Length N, sum 1, 0 at ``front``; all 0 where no other node resembles the symptom.
    """
    others = np.arange(len(steps)) != front
    found = np.zeros(len(steps))
    chosen = similarity[others]
    if chosen.any():
        allowed = first_order_steps(steps, similarity, backward=backward)[np.ix_(others, others)]
        found[others] = pagerank(allowed, damping=damping, restart=chosen)
    return found
