"""ReLU networks of one hidden layer on one number, as the piecewise linear functions they are.

``c + sum_k v_k relu(u_k x + b_k)`` bends at the K places ``-b_k / u_k`` and is straight between
them. So its value takes one multiplication, whatever K, once the straight piece of x is known,
and its gradient takes only two sums over each piece: that of the gradient g of the values, and
that of g x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In place of a weight of 0, so that a unit which does not depend on x bends far from all data.
_NO_WEIGHT: Final = 1e-200


@dataclass(frozen=True, eq=False)
class PiecewiseLinear:
    """B networks of K hidden units each, by their K + 1 straight pieces from left to right.

    Attributes:
        weights: B x (3 K + 1): u (into the hidden units), b (their biases), v (out of them), c.
        bends: B x K, ascending; piece p lies between bends p - 1 and p.
        slopes: B x (K + 1).
        offsets: B x (K + 1); the value in piece p is ``slopes[p] * x + offsets[p]``.
        origin: B x K: the unit of each bend, as its place among all B K units.
    """

    weights: NDArray[np.float64]
    bends: NDArray[np.float64]
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]
    origin: NDArray[np.int64]

    @classmethod
    def of_networks(cls, weights: NDArray[np.float64]) -> PiecewiseLinear:
        """The functions of networks with these weights, B x (3 K + 1)."""
        into, bias, out = _layers(weights)
        bends = -bias / (into + _NO_WEIGHT * (into == 0))
        origin = bends.argsort(axis=1) + into.shape[1] * np.arange(len(into))[:, None]
        # Where x passes a bend to the right, a unit with u < 0 falls silent, any other one starts.
        falls = into < 0
        signed = np.where(falls, -out, out)
        steps = np.empty((2, *into.shape))
        np.multiply(into, signed, out=steps[0])
        np.multiply(bias, signed, out=steps[1])
        pieces = np.empty((2, len(into), into.shape[1] + 1))
        pieces[:, :, 0] = -(steps * falls).sum(axis=2)
        pieces[1, :, 0] += weights[:, -1]
        pieces[:, :, 1:] = steps.reshape(2, -1).take(origin, axis=1)
        slopes, offsets = pieces.cumsum(axis=2)
        return cls(weights, bends.ravel().take(origin), slopes, offsets, origin)

    def gradients(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gradients by the weights, of their shape, from sums over the values of each piece.

        Args:
            sums: 2 x B x (K + 1): of g x, and of g, the gradient by the value at x.
        """
        into, bias, out = _layers(self.weights)
        upto = sums.cumsum(axis=2)
        left = np.empty((2, into.size))
        left[:, self.origin.ravel()] = upto[:, :, :-1].reshape(2, -1)
        left = left.reshape(2, *into.shape)
        active = np.where(into < 0, left, upto[:, :, -1:] - left)
        found = np.empty_like(self.weights)
        by_into, by_bias, by_out = _layers(found)
        np.multiply(out, active[0], out=by_into)
        np.multiply(out, active[1], out=by_bias)
        np.add(into * active[0], bias * active[1], out=by_out)
        found[:, -1] = upto[1, :, -1]
        return found


def _layers(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Views of u, b and v, each B x K."""
    units = weights.shape[1] // 3
    return weights[:, :units], weights[:, units : 2 * units], weights[:, 2 * units : -1]
