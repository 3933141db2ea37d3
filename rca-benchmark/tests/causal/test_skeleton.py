from itertools import combinations

import numpy as np
import pytest

from rca_benchmark.causal import skeleton as module
from rca_benchmark.causal.skeleton import find_skeleton, subsets

# causal-learn 0.1.4.8 warns so where there are more columns than rows.
pytestmark = pytest.mark.filterwarnings("ignore:The number of features is much larger")


def by_definition(correlations, rows, alpha):
    """PC-stable as written down, one test at a time."""
    from scipy.stats import norm

    count = len(correlations)
    adjacency = ~np.eye(count, dtype=bool)
    separating = {}
    for depth in range(count):
        before = [np.flatnonzero(row) for row in adjacency]
        for x in range(count):
            for y in before[x]:
                for given in combinations([node for node in before[x] if node != y], depth):
                    chosen = [x, y, *given]
                    precision = np.linalg.inv(correlations[np.ix_(chosen, chosen)])
                    partial = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
                    size = np.sqrt(rows - depth - 3) * abs(np.arctanh(partial))
                    if 2 * norm.sf(size) > alpha:
                        adjacency[x, y] = adjacency[y, x] = False
                        separating.setdefault((min(x, y), max(x, y)), set()).update(given)
    return adjacency, separating


@pytest.mark.parametrize("seed", range(6))
def test_the_search_is_that_of_the_definition(simulate, seed):
    rng = np.random.default_rng(seed)
    values = simulate(rng, 9, 60, 3.5)
    correlations = np.corrcoef(values.T)
    found = find_skeleton(correlations, 60, 0.05)
    adjacency, separating = by_definition(correlations, 60, 0.05)
    np.testing.assert_array_equal(found.adjacency, adjacency)
    assert {pair: set(found.between(*pair)) for pair in separating} == separating
    assert all(found.between(*pair[::-1]) == found.between(*pair) for pair in separating)


@pytest.mark.parametrize("seed", range(3))
def test_an_order_of_the_variables_changes_nothing(simulate, seed):
    rng = np.random.default_rng(seed)
    correlations = np.corrcoef(simulate(rng, 20, 80, 3).T)
    order = rng.permutation(20)
    plain = find_skeleton(correlations, 80, 0.05)
    moved = find_skeleton(correlations[np.ix_(order, order)], 80, 0.05)
    np.testing.assert_array_equal(moved.adjacency, plain.adjacency[np.ix_(order, order)])
    for i, j in combinations(range(20), 2):
        names = frozenset(int(order[node]) for node in moved.between(i, j))
        assert names == plain.between(order[i], order[j])


def test_many_small_arrays_give_what_a_large_one_gives(simulate, monkeypatch):
    correlations = np.corrcoef(simulate(np.random.default_rng(0), 25, 100, 4).T)
    plain = find_skeleton(correlations, 100, 0.05)
    monkeypatch.setattr(module, "_AT_ONCE", 30)
    small = find_skeleton(correlations, 100, 0.05)
    np.testing.assert_array_equal(small.adjacency, plain.adjacency)
    assert small.separating == plain.separating


def test_a_sum_of_others_keeps_its_edges():
    values = np.random.default_rng(0).normal(size=(200, 3))
    correlations = np.corrcoef(np.column_stack([values, values[:, 0] + values[:, 1]]).T)
    found = find_skeleton(correlations, 200, 0.05)
    assert np.argwhere(np.triu(found.adjacency)).tolist() == [[0, 3], [1, 3]]


def test_the_search_ends_before_a_depth_of_too_many_tests(simulate, monkeypatch):
    correlations = np.corrcoef(simulate(np.random.default_rng(1), 12, 2000, 6).T)
    whole = find_skeleton(correlations, 2000, 0.05)
    monkeypatch.setattr(module, "MOST_TESTS", 2000)
    cut = find_skeleton(correlations, 2000, 0.05)
    assert np.all(cut.adjacency >= whole.adjacency)
    assert cut.adjacency.sum() > whole.adjacency.sum()
    monkeypatch.setattr(module, "MOST_TESTS", 0)
    none = find_skeleton(correlations, 2000, 0.05)
    expected = np.abs(np.arctanh(np.triu(correlations, 1))) * np.sqrt(1997) > 1.959964
    np.testing.assert_array_equal(np.triu(none.adjacency), expected)


@pytest.mark.parametrize("rows", [2, 3, 4, 5])
def test_few_rows_leave_what_cannot_be_tested(rows):
    correlations = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    found = find_skeleton(correlations, rows, 0.05)
    assert found.adjacency.sum() == (12 if rows < 4 else 0)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_nothing_has_next_to_no_edges(count):
    assert find_skeleton(np.eye(count), 50, 0.05).adjacency.sum() == 0


@pytest.mark.parametrize(("size", "depth"), [(5, 2), (5, 5), (4, 0), (3, 4)])
def test_subsets_come_in_order_and_in_parts(size, depth):
    parts = list(subsets(size, depth, 3))
    assert all(len(part) <= 3 for part in parts)
    rows = [tuple(row) for part in parts for row in part.tolist()]
    assert rows == list(combinations(range(size), depth))
