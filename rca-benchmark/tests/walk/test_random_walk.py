import numpy as np
import pytest

from rca_benchmark.walk.random_walk import first_order_steps, visits


def random_case(seed, nodes=8):
    rng = np.random.default_rng(seed)
    steps = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.3)
    np.fill_diagonal(steps, 0)
    similarity = rng.random(nodes)
    similarity[0] = 1.0
    return steps, similarity


def simulate(steps, similarity, front, walkers, length, rng):
    """Shares of visits of many independent walks, after they have forgotten where they began."""
    weights = first_order_steps(steps, similarity)
    weights[:, front] = 0
    chances = similarity.copy()
    chances[front] = 0
    restart = np.cumsum(chances / chances.sum())
    total = weights.sum(axis=1, keepdims=True)
    moves = np.where(total > 0, np.cumsum(weights / np.where(total > 0, total, 1), axis=1), restart)
    position = np.searchsorted(restart, rng.random(walkers))
    count = np.zeros((walkers // 100, len(steps)))
    for step in range(length):
        goes_on = rng.random(walkers) < 0.85
        rows = np.where(goes_on[:, None], moves[position], restart)
        position = (rng.random(walkers)[:, None] > rows).sum(axis=1)
        if step >= 60:
            for group in range(len(count)):
                part = position[group * 100 : (group + 1) * 100]
                count[group] += np.bincount(part, minlength=len(steps))
    shares = count / count.sum(axis=1, keepdims=True)
    return shares.mean(axis=0), shares.std(axis=0, ddof=1) / len(count) ** 0.5


@pytest.mark.parametrize("seed", range(4))
def test_visits_are_those_of_a_long_simulation(seed):
    steps, similarity = random_case(seed)
    found, error = simulate(steps, similarity, 0, 2000, 260, np.random.default_rng(seed))
    assert np.all(np.abs(visits(steps, similarity, 0) - found) <= 4.5 * error + 1e-12)


def test_a_small_walk_by_hand():
    # 0 -> 1 -> 2 with similarities 1, .5, .8: from 1 forward .8 and back .2 * 1; 2 stays with .8
    # and goes back with .2 * .5.
    steps = np.array([[0, 2, 0], [0, 0, 2], [0, 0, 0.0]])
    weights = first_order_steps(steps, np.array([1, 0.5, 0.8]))
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0], [0.2, 0, 0.8], [0, 0.1, 0.8]])


def test_no_step_back_where_both_ways_are_forward():
    steps = np.array([[0, 1], [1, 0.0]])
    np.testing.assert_allclose(first_order_steps(steps, np.array([0.5, 0.5])), steps / 2)


def test_causes_see_more_of_the_walk_than_effects():
    steps = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0.0]])
    similarity = np.array([1, 0.7, 0.7])
    forward = visits(steps, similarity, 0)
    assert forward[2] > forward[1] > forward[0] == 0
    turned = visits(steps.T, similarity, 0)
    assert turned[2] < forward[2]


def test_the_walk_follows_the_data():
    steps, similarity = random_case(1)
    found = visits(steps, similarity, 0)
    changed = similarity.copy()
    changed[[2, 5]] = changed[[5, 2]]
    assert np.abs(visits(steps, changed, 0) - found).max() > 0.01
    assert found.sum() == pytest.approx(1)


def test_nothing_resembles_the_symptom():
    assert not visits(np.ones((3, 3)), np.array([1.0, 0, 0]), 0).any()
