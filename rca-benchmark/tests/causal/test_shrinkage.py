import numpy as np
import pytest

from rca_benchmark.causal.shrinkage import shrunk_covariance


@pytest.mark.parametrize(("rows", "columns"), [(200, 5), (40, 30), (20, 80), (500, 1)])
def test_the_covariance_is_that_of_scikit_learn(rows, columns):
    from sklearn.covariance import ledoit_wolf

    rng = np.random.default_rng(rows)
    values = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    values -= values.mean(axis=0)
    expected = ledoit_wolf(values, assume_centered=True)[0]
    np.testing.assert_allclose(shrunk_covariance(values), expected, rtol=1e-9, atol=1e-12)


def test_two_rows_give_a_matrix_that_can_be_inverted():
    values = np.array([[1.0, 1, -1], [-1, -1, 1]])
    assert np.linalg.cond(shrunk_covariance(values)) < 10
