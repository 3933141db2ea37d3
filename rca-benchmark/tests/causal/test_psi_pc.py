import numpy as np
import pytest

from rca_benchmark.causal.chi_square import chi_square
from rca_benchmark.causal.psi_pc import TargetTests, neighbours, psi_pc, rank_neighbours

ROWS = 3000


def noisy(source, rng, kept):
    return np.where(rng.random(ROWS) < kept, source, rng.integers(0, 3, ROWS))


def chain(seed):
    """Target -> 0 -> 1 -> 2, and 3 apart from them: levels of the target and of the nodes."""
    rng = np.random.default_rng(seed)
    target = np.repeat([0, 1], ROWS // 2)
    columns = [noisy(target, rng, 0.7)]
    columns += [noisy(columns[-1], rng, 0.7) for _ in range(2)]
    return target, np.column_stack([*columns, rng.integers(0, 3, ROWS)])


def counted_tests(target, levels):
    made = []

    def compute(node, given):
        made.append((node, given))
        return chi_square(target, levels[:, node], [levels[:, other] for other in given])

    return TargetTests(compute), made


@pytest.mark.parametrize("seed", range(10))
def test_only_the_child_is_a_neighbour_of_the_target(seed):
    tests, _ = counted_tests(*chain(seed))
    assert neighbours(tests, [0, 1, 2, 3], 0.001) == [0]


def test_the_search_stops_as_soon_as_there_are_enough():
    """Two neighbours at the first level are more than one, and no reason to go on."""
    rng = np.random.default_rng(0)
    target = np.repeat([0, 1], ROWS // 2)
    levels = np.column_stack([noisy(target, rng, 0.6), noisy(target, rng, 0.6)])
    levels = np.column_stack([levels, rng.integers(0, 3, (ROWS, 3))])
    tests, made = counted_tests(target, levels)
    assert sorted(psi_pc(tests, range(5), 0.01, enough=1)) == [0, 1]
    assert len(made) == 7  # five without a condition, two with the other one


def test_a_rising_level_adds_weaker_neighbours_behind():
    tests, _ = counted_tests(*chain(0))
    found = psi_pc(tests, range(4), 0.001, enough=4)
    assert found[0] == 0
    assert len(found) > 1
    assert len(set(found)) == len(found)


def test_no_test_is_made_twice():
    tests, made = counted_tests(*chain(1))
    psi_pc(tests, range(4), 0.001, enough=4)
    assert len(made) == len(set(made)) > 4


def test_all_nodes_are_ranked_and_the_last_removed_come_first():
    """26 nodes, of which one is the target's child and three follow from it."""
    target, levels = chain(2)
    rng = np.random.default_rng(2)
    levels = np.column_stack([levels[:, :3], rng.integers(0, 3, (ROWS, 23))])
    for seed in range(10):
        tests, _ = counted_tests(target, levels)
        order = rank_neighbours(tests, range(26), np.random.default_rng(seed))
        assert sorted(order) == list(range(26))
        assert order[0] == 0


def test_of_two_that_separate_each_other_the_stronger_one_stays():
    rng = np.random.default_rng(3)
    target = np.repeat([0, 1], ROWS // 2)
    strong = noisy(target, rng, 0.8)
    copy = np.where(rng.random(ROWS) < 0.9, strong, rng.integers(0, 3, ROWS))
    for order in ([0, 1], [1, 0]):
        tests, _ = counted_tests(target, np.column_stack([strong, copy]))
        assert neighbours(tests, order, 0.01) == [0]
