import numpy as np
import pytest

from rca_benchmark.causal.piecewise_linear import PiecewiseLinear


def dense(weights, x, g):
    """Value of one network at each x, and its gradient for the gradients g of the values."""
    into, bias, out = weights[:-1].reshape(3, -1)
    before = x[:, None] * into + bias
    units = np.maximum(before, 0)
    active = g[:, None] * (before > 0) * out
    gradient = [(active * x[:, None]).sum(0), active.sum(0), (g[:, None] * units).sum(0), [g.sum()]]
    return units @ out + weights[-1], np.concatenate(gradient)


def by_piece(networks, number, x, g):
    piece = np.searchsorted(networks.bends[number], x)
    count = networks.slopes.shape[1]
    value = networks.slopes[number, piece] * x + networks.offsets[number, piece]
    return value, [np.bincount(piece, g * x, count), np.bincount(piece, g, count)]


@pytest.mark.parametrize("seed", range(10))
def test_equal_to_the_network(seed):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(2, 3 * 64 + 1))
    weights[0, :3] = [0.0, -0.0, 1e-12]  # units that hardly depend on x
    x, g = 3 * rng.normal(size=(2, 500))
    networks = PiecewiseLinear.of_networks(weights)
    found = [by_piece(networks, number, x, g) for number in range(2)]
    gradients = networks.gradients(np.array([sums for _, sums in found]).transpose(1, 0, 2))
    for number in range(2):
        value, gradient = dense(weights[number], x, g)
        np.testing.assert_allclose(found[number][0], value, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(gradients[number], gradient, rtol=1e-10, atol=1e-10)


def test_one_unit_by_hand():
    """2 relu(-3 x + 6) + 5 falls to 5 at its bend 2."""
    network = PiecewiseLinear.of_networks(np.array([[-3.0, 6.0, 2.0, 5.0]]))
    np.testing.assert_allclose(network.bends, [[2.0]])
    np.testing.assert_allclose(network.slopes, [[-6.0, 0.0]])
    np.testing.assert_allclose(network.offsets, [[17.0, 5.0]])
    # One value x = 1 with g = 1 on the left: by u: v x, by b: v, by v: u x + b, by c: 1.
    gradient = network.gradients(np.array([[[1.0, 0.0]], [[1.0, 0.0]]]))
    np.testing.assert_allclose(gradient, [[2.0, 2.0, 3.0, 1.0]])
