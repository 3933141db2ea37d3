import numpy as np
import pytest

from rca_benchmark.causal import dag_gnn
from rca_benchmark.causal.dag_gnn import (
    Adam,
    Samples,
    cyclicity_of,
    evaluate,
    first_parameters,
    learn_adjacency,
)
from rca_benchmark.errors import MethodFailed

MULTIPLIER, PENALTY = 0.7, 3.0


def network(weights, x):
    into, bias, out = weights[:-1].reshape(3, -1)
    before = x.reshape(-1, 1) * into + bias
    return before, (np.maximum(before, 0) @ out + weights[-1]).reshape(x.shape)


def backwards(weights, x, before, g):
    """Gradients by the weights and by x for the gradient g of the values."""
    into, _, out = weights[:-1].reshape(3, -1)
    flat = g.reshape(-1, 1)
    active = flat * (before > 0) * out
    parts = [active.T @ x.ravel(), active.sum(0), np.maximum(before, 0).T @ g.ravel(), [g.sum()]]
    return np.concatenate(parts), (active @ into).reshape(x.shape)


def plainly(parameters, values):
    """The published model term by term, its inverse included: loss, ELBO, h."""
    rows, count = values.shape
    encoder, decoder = parameters[count**2 + 1 :].reshape(2, -1)
    adjacency = np.sinh(3 * parameters[: count**2].reshape(count, count))
    shift = parameters[count**2]
    stays = np.eye(count) - adjacency
    hidden = (network(encoder, values)[1] + shift) @ stays - shift
    back = (hidden + shift) @ np.linalg.inv(stays) - shift
    elbo = ((network(decoder, back)[1] - values) ** 2).sum() + (hidden**2).sum()
    elbo /= 2 * rows
    power = np.linalg.matrix_power(np.eye(count) + adjacency**2 / count, count)
    cyclicity = np.trace(power) - count
    loss = elbo + MULTIPLIER * cyclicity + PENALTY / 2 * cyclicity**2
    return loss + 100 * (np.diag(adjacency) ** 2).sum(), elbo, cyclicity


def dense_gradient(parameters, values):
    """The gradient over a T N x 64 matrix; nothing of it reaches A through the decoder."""
    rows, count = values.shape
    encoder, decoder = parameters[count**2 + 1 :].reshape(2, -1)
    trained = parameters[: count**2].reshape(count, count)
    adjacency, shift = np.sinh(3 * trained), parameters[count**2]
    stays = np.eye(count) - adjacency
    first, code = network(encoder, values)
    second, output = network(decoder, code)
    hidden = (code + shift) @ stays - shift
    by_decoder, by_code = backwards(decoder, code, second, (output - values) / rows)
    through = hidden @ stays.T / rows
    by_encoder, _ = backwards(encoder, values, first, by_code + through)
    power = np.linalg.matrix_power(np.eye(count) + adjacency**2 / count, count - 1)
    cyclicity = plainly(parameters, values)[2]
    by_adjacency = -(code + shift).T @ hidden / rows
    by_adjacency += (MULTIPLIER + PENALTY * cyclicity) * 2 * adjacency * power.T
    by_adjacency += 200 * np.diag(np.diag(adjacency))
    by_trained = by_adjacency * 3 * np.cosh(3 * trained)
    by_shift = through.sum() - hidden.sum() / rows
    return np.concatenate([by_trained.ravel(), [by_shift], by_encoder, by_decoder])


def drawn(seed, rows, count):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, count))
    values[: rows // 2, 0] = 1.5  # many that are equal
    parameters = first_parameters(count, rng)
    parameters[: count**2 + 1] = rng.normal(0, 0.1, count**2 + 1)
    return parameters, values


@pytest.mark.parametrize("shape", [(40, 6), (300, 12), (5, 9), (1, 2), (76, 24)])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_dense_model(seed, shape):
    parameters, values = drawn(seed, *shape)
    step = evaluate(parameters, Samples.of(values), MULTIPLIER, PENALTY)
    _, elbo, cyclicity = plainly(parameters, values)
    expected = dense_gradient(parameters, values)
    np.testing.assert_allclose([step.elbo, step.cyclicity], [elbo, cyclicity], rtol=1e-10)
    np.testing.assert_allclose(
        step.gradient, expected, rtol=1e-10, atol=1e-10 * abs(expected).max()
    )


def test_the_gradient_is_that_of_finite_differences():
    parameters, values = drawn(7, 30, 5)
    step = evaluate(parameters, Samples.of(values), MULTIPLIER, PENALTY)
    expected = np.empty_like(parameters)
    for place in range(len(parameters)):
        move = np.zeros_like(parameters)
        move[place] = 1e-6
        above, below = plainly(parameters + move, values)[0], plainly(parameters - move, values)[0]
        expected[place] = (above - below) / 2e-6
    np.testing.assert_allclose(step.gradient, expected, atol=1e-8 * abs(expected).max())


def test_only_cycles_have_a_cyclicity():
    acyclic = np.triu(np.random.default_rng(0).normal(size=(6, 6)), 1)
    assert cyclicity_of(acyclic)[0] == pytest.approx(0, abs=1e-12)
    acyclic[4, 1] = 0.5
    assert cyclicity_of(acyclic)[0] > 1e-3


def test_the_cyclicity_of_two_by_hand():
    """tr[(I + A o A / 2)^2] - 2 is 2 (a b / 2)^2 for the cycle with weights a, b."""
    value, gradient = cyclicity_of(np.array([[0, 2.0], [3.0, 0]]))
    assert value == pytest.approx(18.0)
    np.testing.assert_allclose(gradient, [[0, 18.0], [12.0, 0]])


def test_adam_by_hand():
    parameters = np.array([1.0, -2.0])
    adam = Adam(parameters)
    adam.move(np.array([0.5, -4.0]), 0.1)
    np.testing.assert_allclose(parameters, [0.9, -1.9], atol=1e-7)  # the first step is the rate
    adam.move(np.array([-0.5, -4.0]), 0.1)
    mean, square = (0.9 * 0.05 - 0.05) / (1 - 0.9**2), 0.25
    np.testing.assert_allclose(parameters, [0.9 - 0.1 * mean / square**0.5, -1.8], atol=1e-7)


def test_a_cause_has_a_weight_to_its_effect():
    """x0 -> x1 -> x3 and x2 -> x3, noise of equal variance: what least squares can tell."""
    noise = np.random.default_rng(3).normal(size=(400, 4))
    values = noise.copy()
    values[:, 1] += 1.2 * values[:, 0]
    values[:, 3] += values[:, 1] - 1.1 * values[:, 2]
    adjacency = learn_adjacency(values, np.random.default_rng(0))
    found = np.argwhere(np.abs(adjacency) >= 0.3)
    assert found.tolist() == [[0, 1], [1, 3], [2, 3]]
    assert cyclicity_of(adjacency)[0] <= 1e-8


def test_the_same_seed_gives_the_same_weights(monkeypatch):
    monkeypatch.setattr(dag_gnn, "EPOCHS", 10)
    values = np.random.default_rng(0).normal(size=(20, 4))
    first, again, other = (learn_adjacency(values, np.random.default_rng(n)) for n in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_training_that_diverges_is_a_failure(monkeypatch):
    monkeypatch.setattr(dag_gnn, "HIGHEST_RATE", 1e3)
    with pytest.raises(MethodFailed, match="diverges"):
        learn_adjacency(np.random.default_rng(0).normal(size=(20, 4)), np.random.default_rng(0))
