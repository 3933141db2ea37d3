"""PageRank, solved exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAMPING: Final = 0.85


def pagerank(
    steps: NDArray[np.float64],
    *,
    damping: float = DAMPING,
    restart: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The stationary distribution of a surfer who follows steps and restarts now and then.

    Page, Brin, Motwani, Winograd 1999; the restart of Haveliwala 2002. A node without steps
    restarts at once, as in networkx. The linear system (I - d P') x = (1 - d) r is solved
    directly, so the result is that of infinitely many iterations.

    Args:
        steps: N x N, 0 or more: ``steps[i, j]`` is the weight of the step from i to j. For causes
            to score high, steps lead from effects to causes.
        damping: probability of a step rather than a restart, 0 or more and less than 1.
        restart: where restarts lead, length N, 0 or more; everywhere alike where None or all zero.

    Returns:
        Length N, sum 1.
    """
    count = len(steps)
    chosen = np.ones(count) if restart is None or not restart.any() else restart
    chosen = chosen / chosen.sum()
    total = steps.sum(axis=1)
    dangling = total == 0
    moves = steps / np.where(dangling, 1.0, total)[:, None]
    # x = d P'x + d (dangling mass) r + (1 - d) r; both restarts are along r, so x is the solution
    # of (I - d P') x = r but for its length.
    scores = np.linalg.solve(np.eye(count) - damping * moves.T, chosen)
    found: NDArray[np.float64] = scores / scores.sum()
    return found
