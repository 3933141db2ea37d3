import numpy as np
import pytest
from sklearn.linear_model import lars_path_gram

from rca_benchmark.causal.adaptive_lasso import adaptive_lasso, lasso_path


def correlated(seed, rows=200, count=12):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, count)) @ (np.eye(count) + 0.5 * rng.normal(size=(count,) * 2))
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    return values, values.T @ values / rows


@pytest.mark.parametrize("seed", range(30))
def test_the_path_is_that_of_scikit_learn(seed):
    _, correlations = correlated(seed)
    gram, moment = correlations[1:, 1:], correlations[1:, 0]
    _, _, expected = lars_path_gram(moment, gram, n_samples=1, method="lasso")
    np.testing.assert_allclose(lasso_path(gram, moment), expected.T, atol=1e-8)


@pytest.mark.parametrize("seed", range(30))
def test_the_coefficients_are_those_of_package_lingam(seed):
    lingam = pytest.importorskip("lingam.utils")
    values, correlations = correlated(seed, rows=60 + 20 * seed)
    rng = np.random.default_rng(seed)
    target, *predictors = rng.permutation(12)[: rng.integers(3, 13)]
    expected = lingam.predict_adaptive_lasso(values, list(predictors), target)
    found = adaptive_lasso(correlations, len(values), np.array(predictors), target)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert np.count_nonzero(found)


def test_noise_is_dropped_and_causes_stay():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 5))
    values[:, 0] += 2 * values[:, 1] - values[:, 2]
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    found = adaptive_lasso(values.T @ values / 500, 500, np.arange(1, 5), 0)
    np.testing.assert_array_equal(found != 0, [True, True, False, False])


def test_a_perfect_fit_keeps_every_part_of_it():
    correlations = np.array([[1, 0.6, 0.8], [0.6, 1, 0], [0.8, 0, 1.0]])
    np.testing.assert_allclose(adaptive_lasso(correlations, 50, np.array([1, 2]), 0), [0.6, 0.8])


def test_what_is_not_correlated_explains_nothing():
    assert not adaptive_lasso(np.eye(3), 50, np.array([1, 2]), 0).any()
    np.testing.assert_array_equal(lasso_path(np.eye(2), np.zeros(2)), [[0, 0]])
