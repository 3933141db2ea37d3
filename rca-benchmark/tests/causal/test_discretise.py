from itertools import combinations, pairwise

import numpy as np
import pytest

from rca_benchmark.causal.discretise import kmeans_levels


def squared_error(values, levels):
    parts = [values[levels == level] for level in np.unique(levels)]
    return sum(((part - part.mean()) ** 2).sum() for part in parts)


def least_squared_error(values, clusters):
    """Over all divisions of the sorted values."""
    ordered = np.sort(values)
    count = len(ordered)

    def error(cuts):
        bounds = [0, *cuts, count]
        parts = [ordered[low:high] for low, high in pairwise(bounds)]
        return sum(((part - part.mean()) ** 2).sum() for part in parts)

    return min(error(cuts) for cuts in combinations(range(1, count), min(clusters, count) - 1))


@pytest.mark.parametrize("seed", range(120))
def test_no_division_has_a_smaller_squared_error(seed):
    rng = np.random.default_rng(seed)
    rows, clusters = int(rng.integers(1, 12)), int(rng.integers(2, 6))
    drawn = rng.normal(size=(rows, 3)), rng.integers(0, 4, size=(rows, 3)).astype(float)
    values = drawn[seed % 2]
    levels = kmeans_levels(values, clusters)
    for column in range(3):
        found = squared_error(values[:, column], levels[:, column])
        assert found == pytest.approx(least_squared_error(values[:, column], clusters), abs=1e-9)


def test_the_error_is_at_most_that_of_scikit_learn():
    from sklearn.preprocessing import KBinsDiscretizer

    values = np.random.default_rng(0).standard_t(3, size=(300, 12))
    binner = KBinsDiscretizer(5, encode="ordinal", strategy="kmeans", subsample=None)
    theirs = binner.fit_transform(values).astype(int)
    ours = kmeans_levels(values, 5)
    smaller = 0
    for column in range(12):
        here = squared_error(values[:, column], ours[:, column])
        there = squared_error(values[:, column], theirs[:, column])
        assert here <= there * (1 + 1e-12)
        smaller += here < there * (1 - 1e-6)
    assert smaller > 0  # its local search does stop early


def test_levels_rise_with_the_values_and_equal_values_share_one():
    values = np.random.default_rng(1).integers(0, 9, size=(200, 5)).astype(float)
    levels = kmeans_levels(values, 5)
    for column in range(5):
        order = np.argsort(values[:, column], kind="stable")
        assert (np.diff(levels[order, column]) >= 0).all()
        for value in range(9):
            assert len(set(levels[values[:, column] == value, column])) <= 1


def test_few_distinct_values_are_their_own_levels():
    values = np.array([[3.0], [1], [3], [1], [2]])
    assert kmeans_levels(values, 5)[:, 0].tolist() == [2, 0, 2, 0, 1]


def test_a_unit_does_not_change_the_levels():
    values = np.random.default_rng(2).normal(size=(100, 4))
    np.testing.assert_array_equal(kmeans_levels(values, 5), kmeans_levels(values * 1e6 + 3, 5))
