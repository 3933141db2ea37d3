from itertools import combinations

import numpy as np
import pytest

from rca_benchmark.causal.partial_correlation import (
    critical_correlation,
    independent_of_last,
    independent_pair,
)


def correlated(rows, columns, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))


def p_value(data, x, y, given):
    """Fisher's z of the correlation of what regressions on the given variables leave."""
    from scipy.stats import norm

    design = np.column_stack([np.ones(len(data)), data[:, given]])
    rest = data[:, [x, y]] - design @ np.linalg.lstsq(design, data[:, [x, y]])[0]
    size = np.sqrt(len(data) - len(given) - 3) * abs(np.arctanh(np.corrcoef(rest.T)[0, 1]))
    return 2 * norm.sf(size)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("alpha", [0.01, 0.2])
def test_a_test_is_that_of_the_residuals(depth, alpha):
    data = correlated(30, 7, seed=depth)
    correlations = np.corrcoef(data.T)
    sets = np.array(list(combinations(range(6), depth)), dtype=np.int64)
    critical = critical_correlation(30, depth, alpha)
    found = independent_of_last(correlations[None], sets, critical)[0]
    assert found.shape == (len(sets), 6)
    answers = set()
    for place, given in enumerate(sets.tolist()):
        for other in set(range(6)) - set(given):
            expected = p_value(data, 6, other, given) > alpha
            answers.add(expected)
            assert found[place, other] == expected
            pair = independent_pair(correlations, (other, 6), sets[[place]], critical)
            assert pair.tolist() == [expected]
        assert not found[place, given].any()
    assert answers == {True, False}


def test_blocks_are_tested_each_on_its_own():
    blocks = np.stack([np.corrcoef(correlated(25, 5, seed).T) for seed in range(6)])
    sets = np.array(list(combinations(range(4), 2)))
    together = independent_of_last(blocks, sets, 0.3)
    for block, found in zip(blocks, together, strict=True):
        np.testing.assert_array_equal(independent_of_last(block[None], sets, 0.3)[0], found)


def collinear():
    """Five variables of which the fourth is the sum of the first two, the fifth alone."""
    base = correlated(60, 2, seed=3)
    other = np.random.default_rng(5).normal(size=(60, 2))
    return np.corrcoef(np.column_stack([base, other[:, 0], base.sum(axis=1), other[:, 1]]).T)


def test_what_the_set_determines_cannot_be_tested():
    correlations = collinear()
    pairs = [(3, 2), (3, 4), (2, 3)]
    for pair in pairs:
        assert not independent_pair(correlations, pair, np.array([[0, 1]]), 0.9).any()
    found = independent_of_last(correlations[None], np.array([[0, 1]]), 0.9)
    assert found.tolist() == [[[False, False, True, False]]]
    found = independent_of_last(correlations[None, ::-1, ::-1], np.array([[3, 1]]), 0.9)
    assert not found.any()  # now the last is determined


def test_a_set_that_is_collinear_cannot_be_tested():
    correlations = collinear()
    assert not independent_pair(correlations, (2, 4), np.array([[0, 1, 3]]), 0.9).any()
    assert not independent_of_last(correlations[None], np.array([[0, 1, 3]]), 0.9).any()


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_too_few_rows_leave_nothing_independent(rows):
    assert critical_correlation(rows, 2, 0.05) == 0
    assert not independent_of_last(np.eye(5)[None], np.array([[0, 1]]), 0.0).any()


def test_the_critical_correlation_is_that_of_tables():
    # Two-sided 5 % with 100 rows: tanh(1.959964 / sqrt(97)) = tanh(0.1990042) = 0.196418.
    assert critical_correlation(100, 0, 0.05) == pytest.approx(0.196418, abs=1e-6)
    assert critical_correlation(103, 3, 0.05) == critical_correlation(100, 0, 0.05)
