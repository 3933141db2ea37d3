"""Neural Granger causality by componentwise networks (Tank, Covert, Foti, Shojaie, Fox, 2022).

Each variable is predicted from the last values of all by a network of its own (cMLP, section 3 of
the paper). A penalty on the weights out of each source sets them to exactly 0 where the source does
not help; what is left is the Granger graph. All networks are trained as one, each with a step of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAG: Final = 5
HIDDEN: Final = 10
RIDGE: Final = 0.1
PENALTY_SHARE: Final = 0.3

# GISTA (Gong, Zhang, Lu, Huang, Ye, ICML 2013).
FIRST_STEP: Final = 0.05
SHORTEST_STEP: Final = 1e-8
LONGEST_STEP: Final = 1e2
BACKTRACKING: Final = 0.5
SUFFICIENT: Final = 1e-3
MEMORY: Final = 5
TOLERANCE: Final = 1e-4
CHECK_EVERY: Final = 20
MOST_STEPS: Final = 1000


@dataclass(frozen=True, eq=False)
class Networks:
    """N networks of one hidden layer of H tanh units.

    Attributes:
        first: N x H x N x L: ``[i, h, j, l]`` leads from variable j, l + 1 rows ago, to unit h of
            the network of variable i.
        rest: N x (2 H + 1): biases of the hidden units, weights to the output, its bias.
    """

    first: NDArray[np.float64]
    rest: NDArray[np.float64]


def granger_causes(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """``[i, j]``: the past of variable i helps to predict variable j.

    Args:
        values: T x N, standardised.
        rng: draws the first weights.

    Raises:
        MethodFailed: there are too few rows.
    """
    past, target = lagged(values)
    start = first_networks(values.shape[1], rng)
    penalty = PENALTY_SHARE * largest_penalty(past, target, start)
    trained = train(past, target, start, penalty)
    causes: NDArray[np.bool_] = (trained.first != 0).any(axis=(1, 3))
    return causes.T


def lagged(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The past, R x N x L with the row before first, and what follows on it, R x N.

    Raises:
        MethodFailed: fewer rows follow than a regression on the own past needs.
    """
    rows = len(values) - LAG
    if rows < LAG + 2:
        raise MethodFailed(f"{len(values)} rows are too few; needed are {2 * LAG + 2}")
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], LAG, axis=0)
    return np.ascontiguousarray(windows[:, :, ::-1]), values[LAG:]


def first_networks(count: int, rng: np.random.Generator) -> Networks:
    """Weights drawn normally, with variance one over the number of inputs of their layer."""
    first = rng.normal(0, 1 / np.sqrt(count * LAG), (count, HIDDEN, count, LAG))
    rest = np.zeros((count, 2 * HIDDEN + 1))
    rest[:, HIDDEN:-1] = rng.normal(0, 1 / np.sqrt(HIDDEN), (count, HIDDEN))
    return Networks(first, rest)


def loss_and_gradient(
    networks: Networks, past: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Networks]:
    """Mean squared error and ridge penalty of each network, length N, and the gradient."""
    rows, count = target.shape
    hidden = networks.rest.shape[1] // 2
    weights = networks.first.reshape(count * hidden, -1)
    out = networks.rest[:, hidden:-1]
    inputs = past.reshape(rows, -1)
    units = inputs @ weights.T
    units += networks.rest[:, :hidden].ravel()
    units = np.tanh(units, out=units).reshape(rows, count, hidden)
    errors = np.einsum("rnh,nh->rn", units, out) + networks.rest[:, -1] - target
    loss: NDArray[np.float64] = (errors**2).mean(axis=0) + RIDGE * (out**2).sum(axis=1)

    errors *= 2 / rows
    rest = np.empty_like(networks.rest)
    rest[:, hidden:-1] = np.einsum("rnh,rn->nh", units, errors) + 2 * RIDGE * out
    rest[:, -1] = errors.sum(axis=0)
    units *= units
    np.subtract(1.0, units, out=units)
    units *= errors[:, :, None]
    units *= out
    rest[:, :hidden] = units.sum(axis=0)
    first = units.reshape(rows, -1).T @ inputs
    return loss, Networks(first.reshape(networks.first.shape), rest)


def shrink_nested(
    norms: NDArray[np.float64], threshold: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The proximal operator of the hierarchical penalty: sum over l of the norm of lags l to L.

    The groups are nested, so that shrinking them one after another, the smallest first, is exact
    (Jenatton, Mairal, Obozinski, Bach, JMLR 2011).

    Args:
        norms: N x N x L: of the weights of each lag, by target and source.
        threshold: broadcasts against N x N: how far each group is shrunk.

    Returns:
        By which number, 0 to 1, the weights of each lag are multiplied, N x N x L; and the penalty
        of the result, N x N.
    """
    factors = np.ones_like(norms)
    penalty = np.zeros(norms.shape[:2])
    left = np.zeros(norms.shape[:2])
    for lag in reversed(range(norms.shape[2])):
        size = np.hypot(norms[:, :, lag], left)
        left = np.maximum(size - threshold, 0.0)
        factors[:, :, lag:] *= (left / np.where(size > 0, size, 1.0))[:, :, None]
    shrunk = (norms * factors) ** 2
    for lag in range(norms.shape[2]):
        penalty += np.sqrt(shrunk[:, :, lag:].sum(axis=2))
    return factors, penalty


def largest_penalty(
    past: NDArray[np.float64], target: NDArray[np.float64], start: Networks
) -> float:
    """The smallest penalty that keeps every weight between different variables at 0.

    That of networks that predict each variable linearly from its own past, and that leave zero
    with the output weights of the start.
    """
    rows, count = target.shape
    errors = np.empty_like(target)
    for place in range(count):
        design = np.column_stack([np.ones(rows), past[:, place]])
        fit = np.linalg.lstsq(design, target[:, place], rcond=None)[0]
        errors[:, place] = target[:, place] - design @ fit
    slopes = np.abs(np.einsum("ri,rjl->ijl", errors, past, optimize=True)) * 2 / rows
    slopes *= np.linalg.norm(start.rest[:, HIDDEN:-1], axis=1)[:, None, None]
    slopes[np.diag_indices(count)] = 0.0
    low, high = 0.0, float(np.linalg.norm(slopes, axis=2).max())
    for _ in range(50):
        middle = (low + high) / 2
        if shrink_nested(slopes, np.array(middle))[0].any():
            low = middle
        else:
            high = middle
    return high


def train(
    past: NDArray[np.float64], target: NDArray[np.float64], start: Networks, penalty: float
) -> Networks:
    """Proximal gradient descent to convergence: GISTA, with a Barzilai-Borwein step per network.

    A step that does not lower the loss enough below the worst of the last five is not taken, and
    tried again at half its length. Networks share nothing, so that each ends by itself, as soon as
    its loss has settled.

    Args:
        past: R x N x L.
        target: R x N.
        start: is kept.
        penalty: on the nested groups of weights between two variables.
    """
    count = target.shape[1]
    trained = Networks(start.first.copy(), start.rest.copy())
    going = np.arange(count)
    networks = start
    loss, slope = loss_and_gradient(networks, past, target)
    losses = np.full((MEMORY, count), -np.inf)
    losses[0] = loss + penalty * _penalty(networks)
    length = np.full(count, FIRST_STEP)
    checked = losses[0].copy()
    for number in range(1, MOST_STEPS + 1):
        trial, size = _proximal_step(networks, slope, length, penalty)
        loss, trial_slope = loss_and_gradient(trial, past, target)
        loss += penalty * size
        moved, bent = _products(trial, networks, trial_slope, slope)
        taken = loss <= losses.max(axis=0) - SUFFICIENT * moved / (2 * length)
        newest = losses[(number - 1) % MEMORY]
        losses[number % MEMORY] = np.where(taken, loss, newest)
        networks = _chosen(taken, trial, networks)
        slope = _chosen(taken, trial_slope, slope)
        rising = bent > moved / LONGEST_STEP
        length = np.where(
            taken,
            np.where(rising, moved / np.where(rising, bent, 1.0), LONGEST_STEP),
            length * BACKTRACKING,
        )
        length = np.maximum(length, SHORTEST_STEP)
        if number % CHECK_EVERY == 0 or number == MOST_STEPS:
            trained.first[going], trained.rest[going] = networks.first, networks.rest
            now = losses[number % MEMORY]
            unsettled = checked - now > TOLERANCE * checked
            if not unsettled.any():
                break
            if not unsettled.all():
                networks, slope = _some(unsettled, networks), _some(unsettled, slope)
                going, target, losses = going[unsettled], target[:, unsettled], losses[:, unsettled]
                length, now = length[unsettled], now[unsettled]
            checked = now.copy()
    return trained


def _some(wanted: NDArray[np.bool_], networks: Networks) -> Networks:
    """The wanted ones of some networks."""
    return Networks(networks.first[wanted], networks.rest[wanted])


def _penalty(networks: Networks) -> NDArray[np.float64]:
    norms = np.sqrt(np.einsum("ihjl,ihjl->ijl", networks.first, networks.first))
    found: NDArray[np.float64] = shrink_nested(norms, np.array(0.0))[1].sum(axis=1)
    return found


def _proximal_step(
    networks: Networks, slope: Networks, length: NDArray[np.float64], penalty: float
) -> tuple[Networks, NDArray[np.float64]]:
    """The networks after one step, and their penalties, length N."""
    first = networks.first - length[:, None, None, None] * slope.first
    norms = np.sqrt(np.einsum("ihjl,ihjl->ijl", first, first))
    factors, size = shrink_nested(norms, (length * penalty)[:, None])
    first *= factors[:, None]
    return Networks(first, networks.rest - length[:, None] * slope.rest), size.sum(axis=1)


def _products(
    trial: Networks, networks: Networks, trial_slope: Networks, slope: Networks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared length of the move of each network, and its product with the change of slope."""
    count = len(networks.rest)
    moved, bent = np.zeros(count), np.zeros(count)
    for name in ("first", "rest"):
        move = (getattr(trial, name) - getattr(networks, name)).reshape(count, -1)
        bend = (getattr(trial_slope, name) - getattr(slope, name)).reshape(count, -1)
        moved += np.einsum("np,np->n", move, move)
        bent += np.einsum("np,np->n", move, bend)
    return moved, bent


def _chosen(taken: NDArray[np.bool_], these: Networks, others: Networks) -> Networks:
    """For each network the one of these where taken."""
    if taken.all():
        return these
    return Networks(
        np.where(taken[:, None, None, None], these.first, others.first),
        np.where(taken[:, None], these.rest, others.rest),
    )
