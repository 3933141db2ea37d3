"""DAG-GNN (Yu, Chen, Gao, Yu, ICML 2019): a weighted acyclic graph from a variational autoencoder.

The model, with one number per variable and row: e = encoder(x), z = (I - A')(e + w) - w, and back,
decoder((I - A')^-1 (z + w) - w), encoder and decoder being ReLU networks shared by all variables.
The decoder is given the mean of z, so its inverse undoes what the encoder did with A: it sees e
itself, whatever A. Two things follow, and make a training step cheap:

* the reconstruction is a piecewise linear function of the single number x. With the sums of 1, x
  and x^2 over the sorted values, its loss and gradient take some operations per straight piece,
  and none per value;
* A is learned from the divergence |z|^2 and from acyclicity alone, so nothing is inverted; E'E and
  E (I - A)(I - A') are all that a step computes of the T x N matrix E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.piecewise_linear import PiecewiseLinear
from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIDDEN: Final = 64
SELF_LOOP_PENALTY: Final = 100.0
AMPLIFICATION: Final = 3.0  # A = sinh(3 B); B is what is trained

LEARNING_RATE: Final = 1e-3
LOWEST_RATE: Final = 1e-4
HIGHEST_RATE: Final = 1e-2
# Adam (Kingma, Ba, ICLR 2015).
FIRST_DECAY: Final = 0.9
SECOND_DECAY: Final = 0.999
ADAM_EPSILON: Final = 1e-8

# The augmented Lagrangian method.
EPOCHS: Final = 500
ROUNDS: Final = 100
PENALTY_GROWTH: Final = 10.0
ENOUGH_PROGRESS: Final = 0.25
LARGEST_PENALTY: Final = 1e20
WORSE: Final = 2.0
ACYCLIC: Final = 1e-8


@dataclass(frozen=True, eq=False)
class Samples:
    """The values that a model is trained on, sorted once.

    Attributes:
        shape: T, N.
        ascending: T N values.
        order: the place of each of them in the T x N matrix, row by row.
        place: the inverse of ``order``.
        powers: 3 x (T N + 1): ``[k, n]`` is the sum of x^k over the n smallest values.
    """

    shape: tuple[int, ...]
    ascending: NDArray[np.float64]
    order: NDArray[np.int64]
    place: NDArray[np.int64]
    powers: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Samples:
        """Sort a T x N matrix."""
        order = np.argsort(values, axis=None, kind="stable")
        ascending = values.ravel()[order]
        powers = np.zeros((3, ascending.size + 1))
        powers[:, 1:] = np.cumsum(ascending ** np.arange(3)[:, None], axis=1)
        return cls(values.shape, ascending, order, np.argsort(order), powers)


@dataclass(frozen=True, eq=False)
class Step:
    """What is known after one pass over the data.

    Attributes:
        elbo: reconstruction loss and divergence, per row.
        cyclicity: h, 0 where the graph is acyclic.
        adjacency: N x N; ``[i, j]`` is the weight of i -> j.
        gradient: of the augmented Lagrangian by all parameters.
    """

    elbo: float
    cyclicity: float
    adjacency: NDArray[np.float64]
    gradient: NDArray[np.float64]


def learn_adjacency(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The weighted adjacency of a graph that explains the values (section 3 of the paper).

    Minimises the negative ELBO subject to h(A) = 0 by the augmented Lagrangian method: rounds of
    500 steps of Adam over all rows, the penalty growing tenfold until h has fallen to a quarter.

    Args:
        values: T x N, N at least 2.
        rng: draws the first weights.

    Returns:
        N x N; ``[i, j]`` is the weight of i -> j. No weight is exactly 0.

    Raises:
        MethodFailed: the training diverges.
    """
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return _train(Samples.of(values), first_parameters(values.shape[1], rng))
    except FloatingPointError as error:
        raise MethodFailed(f"the training of the graph diverges: {error}") from error


def _train(samples: Samples, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    adam = Adam(parameters)
    penalty, multiplier = 1.0, 0.0
    cyclicity, former, best = 1.0, np.inf, np.inf
    for _ in range(ROUNDS):
        while penalty < LARGEST_PENALTY:
            rate = LEARNING_RATE / (np.log10(penalty) + 1e-10)
            for _ in range(EPOCHS):
                step = evaluate(parameters, samples, multiplier, penalty)
                adam.move(step.gradient, min(max(rate, LOWEST_RATE), HIGHEST_RATE))
                best = min(best, step.elbo)
            if step.elbo > WORSE * best:
                break
            cyclicity = step.cyclicity
            if cyclicity <= ENOUGH_PROGRESS * former:
                break
            penalty *= PENALTY_GROWTH
        former = cyclicity
        multiplier += penalty * cyclicity
        if cyclicity <= ACYCLIC or penalty >= LARGEST_PENALTY:
            break
    return step.adjacency


class Adam:
    """The optimiser of Kingma and Ba; its state and the parameters that it moves."""

    def __init__(self, parameters: NDArray[np.float64]) -> None:
        """Start.

        Args:
            parameters: changed by every move.
        """
        self._parameters = parameters
        self._first = np.zeros_like(parameters)
        self._second = np.zeros_like(parameters)
        self._moves = 0

    def move(self, gradient: NDArray[np.float64], rate: float) -> None:
        """One step down; the gradient is used up."""
        self._moves += 1
        self._first *= FIRST_DECAY
        self._first += (1 - FIRST_DECAY) * gradient
        self._second *= SECOND_DECAY
        gradient *= gradient
        gradient *= 1 - SECOND_DECAY
        self._second += gradient
        spread = np.sqrt(self._second, out=gradient)
        spread *= 1 / np.sqrt(1 - SECOND_DECAY**self._moves)
        spread += ADAM_EPSILON
        np.divide(self._first, spread, out=spread)
        spread *= rate / (1 - FIRST_DECAY**self._moves)
        self._parameters -= spread


def first_parameters(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """B = 0 (N^2 numbers), w = 0, then u, b, v, c of the encoder and of the decoder.

    Weights are drawn from Glorot's normal distribution, biases uniformly within one over the
    square root of the number of inputs of their layer.
    """
    spread, edge = np.sqrt(2 / (1 + HIDDEN)), 1 / np.sqrt(HIDDEN)
    networks = [
        drawn
        for _ in range(2)
        for drawn in (
            rng.normal(0, spread, HIDDEN),
            rng.uniform(-1, 1, HIDDEN),
            rng.normal(0, spread, HIDDEN),
            rng.uniform(-edge, edge, 1),
        )
    ]
    return np.concatenate([np.zeros(count**2 + 1), *networks])


def evaluate(
    parameters: NDArray[np.float64], samples: Samples, multiplier: float, penalty: float
) -> Step:
    """ELBO + lambda h + c h^2 / 2 + 100 sum A_ii^2, and its gradient.

    Args:
        parameters: as ``first_parameters`` orders them.
        samples: the data.
        multiplier: lambda.
        penalty: c.
    """
    rows, count = samples.shape
    size = count**2
    weights = parameters[size + 1 :].reshape(2, -1)
    networks = PiecewiseLinear.of_networks(weights)
    adjacency = np.sinh(AMPLIFICATION * parameters[:size].reshape(count, count))
    cuts = _cuts(samples, networks)
    nll, sums = _reconstruction(samples, cuts, networks)
    divergence, by_adjacency, by_shift, by_code = _divergence(
        _encode(samples, cuts, networks), adjacency, float(parameters[size])
    )
    _add_by_piece(sums, by_code, samples, cuts)
    cyclicity, by_cycles = cyclicity_of(adjacency)

    by_cycles *= multiplier + penalty * cyclicity
    by_adjacency /= rows
    by_adjacency += by_cycles
    _diagonal(by_adjacency)[:] += 2 * SELF_LOOP_PENALTY * _diagonal(adjacency)
    by_adjacency *= AMPLIFICATION * np.sqrt(1.0 + adjacency * adjacency)
    gradient = np.empty_like(parameters)
    gradient[:size] = by_adjacency.ravel()
    gradient[size] = by_shift / rows
    np.divide(networks.gradients(sums).ravel(), rows, out=gradient[size + 1 :])
    return Step((nll + divergence) / rows, cyclicity, adjacency, gradient)


def cyclicity_of(adjacency: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The h of theorem 1, tr[(I + A o A / N)^N] - N, and its gradient by A."""
    count = len(adjacency)
    base = adjacency * adjacency
    base /= count
    _diagonal(base)[:] += 1.0
    power = np.linalg.matrix_power(base, count - 1)
    value = float(np.vdot(power.T, base)) - count
    return value, 2.0 * adjacency * power.T


def _diagonal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The diagonal, as a view that can be written."""
    return matrix.reshape(-1)[:: len(matrix) + 1]


def _cuts(samples: Samples, networks: PiecewiseLinear) -> NDArray[np.int64]:
    """K + 2 positions: where the values of each piece of the encoder begin, and the end."""
    units = networks.bends.shape[1]
    cuts = np.empty(units + 2, dtype=np.int64)
    cuts[0], cuts[-1] = 0, samples.ascending.size
    cuts[1:-1] = samples.ascending.searchsorted(networks.bends[0])
    return cuts


def _encode(
    samples: Samples, cuts: NDArray[np.int64], networks: PiecewiseLinear
) -> NDArray[np.float64]:
    """E, T x N."""
    sizes = cuts[1:] - cuts[:-1]
    code = networks.slopes[0].repeat(sizes)
    code *= samples.ascending
    code += networks.offsets[0].repeat(sizes)
    found: NDArray[np.float64] = code.take(samples.place).reshape(samples.shape)
    return found


def _add_by_piece(
    sums: NDArray[np.float64],
    by_code: NDArray[np.float64],
    samples: Samples,
    cuts: NDArray[np.int64],
) -> None:
    """Add the sums of g x and of g over the pieces of the encoder."""
    held = (cuts[1:] > cuts[:-1]).nonzero()[0]
    starts = cuts[held]
    ascending = by_code.ravel().take(samples.order)
    sums[1, 0, held] += np.add.reduceat(ascending, starts)
    ascending *= samples.ascending
    sums[0, 0, held] += np.add.reduceat(ascending, starts)


def _divergence(
    code: NDArray[np.float64], adjacency: NDArray[np.float64], shift: float
) -> tuple[float, NDArray[np.float64], float, NDArray[np.float64]]:
    """|Z|^2 / 2 for Z = (E + w)(I - A) - w, and its gradients by A, w and E. Changes E."""
    rows, count = code.shape
    code += shift
    stays = -adjacency
    _diagonal(stays)[:] += 1.0
    totals, row_sums = code.sum(axis=0), stays.sum(axis=1)
    moved = (code.T @ code) @ stays
    across, squared = float(totals @ row_sums), rows * count * shift**2
    divergence = 0.5 * (float(np.vdot(stays, moved)) + squared) - shift * across
    by_code = code @ (stays @ stays.T)
    by_code -= shift * row_sums
    by_shift = float(by_code.sum()) - across + rows * count * shift
    return divergence, shift * totals[:, None] - moved, by_shift, by_code


def _reconstruction(
    samples: Samples, cuts: NDArray[np.int64], networks: PiecewiseLinear
) -> tuple[float, NDArray[np.float64]]:
    """Half the sum of (decoder(encoder(x)) - x)^2 over all values.

    Returns:
        The loss, and the sums that ``PiecewiseLinear.gradients`` takes.
    """
    edges = np.concatenate([cuts, _crossings(samples.ascending, cuts, networks)])
    edges.sort()
    inner = cuts[1:-1].searchsorted(edges[:-1], side="right")
    slope, offset = networks.slopes[0].take(inner), networks.offsets[0].take(inner)
    middle = samples.ascending.take((edges[:-1] + edges[1:]) // 2, mode="clip")
    outer = networks.bends[1].searchsorted(slope * middle + offset)
    # In each piece the code is slope x + offset, and the error steep x + level.
    rise = networks.slopes[1].take(outer)
    steep, level = rise * slope - 1.0, rise * offset + networks.offsets[1].take(outer)
    powers = samples.powers.take(edges, axis=1)
    ones, firsts, squares = powers[:, 1:] - powers[:, :-1]
    errors = steep * firsts + level * ones
    weighted = steep * squares + level * firsts
    loss = 0.5 * float(steep @ weighted + level @ errors)
    size = cuts.size - 1
    sums = np.empty((2, 2, size))
    sums[0, 0] = np.bincount(inner, rise * weighted, size)
    sums[1, 0] = np.bincount(inner, rise * errors, size)
    sums[0, 1] = np.bincount(outer, slope * weighted + offset * errors, size)
    sums[1, 1] = np.bincount(outer, errors, size)
    return loss, sums


def _crossings(
    ascending: NDArray[np.float64], cuts: NDArray[np.int64], networks: PiecewiseLinear
) -> NDArray[np.int64]:
    """Positions among the values at which the code passes a bend of the decoder."""
    slopes, offsets, levels = networks.slopes[0], networks.offsets[0], networks.bends[1]
    begins, ends = cuts[:-1], cuts[1:]
    codes = np.empty((2, slopes.size))
    codes[0] = ascending.take(begins, mode="clip")
    codes[1] = ascending.take(ends - 1, mode="clip")
    codes *= slopes
    codes += offsets
    codes.sort(axis=0)
    first, last = levels.searchsorted(codes)
    passed = last - first
    owner = np.arange(slopes.size).repeat(passed)
    level = np.arange(owner.size) + (first - passed.cumsum() + passed).take(owner)
    found: NDArray[np.int64] = ascending.searchsorted(
        (levels.take(level) - offsets.take(owner)) / slopes.take(owner)
    )
    # Neither rounding nor a piece without values may move it out of its piece.
    np.maximum(found, begins.take(owner), out=found)
    np.minimum(found, ends.take(owner), out=found)
    return found
