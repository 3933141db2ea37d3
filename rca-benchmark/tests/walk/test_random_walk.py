import numpy as np
import pytest

from rca_benchmark.walk.random_walk import (
    expected_visits,
    expected_visits_second_order,
    first_order_steps,
    visits,
)


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


def sampled_visits(weights, start, length, walks, rng, memory=None):
    """Visits of each of many walks, one row per walk; a plain transcription of the definitions."""
    nodes = len(weights)
    moves = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    count = np.zeros((walks, nodes))
    for walk in range(walks):
        before, here = None, start
        for _ in range(length):
            chances = moves[here]
            if memory is not None and before is not None:
                chances = np.where(chances > 0, (1 - memory) * moves[before, here], 0)
                chances = chances + memory * moves[here]
            if not chances.any():
                break
            before, here = here, rng.choice(nodes, p=chances / chances.sum())
            count[walk, here] += 1
    return count


@pytest.mark.parametrize("memory", [None, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_expected_visits_are_the_mean_of_many_walks(seed, memory):
    steps, similarity = random_case(seed, nodes=6)
    weights = first_order_steps(steps, similarity)
    rng = np.random.default_rng(seed)
    sample = sampled_visits(weights, 0, 12, 1500, rng, memory)
    error = sample.std(axis=0, ddof=1) / len(sample) ** 0.5
    if memory is None:
        found = expected_visits(weights, 0, length=12)
    else:
        found = expected_visits_second_order(weights, 0, memory=memory, length=12)
    assert np.all(np.abs(found - sample.mean(axis=0)) <= 4.5 * error + 1e-12)


def test_a_walk_ends_where_it_can_go_nowhere():
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0.0]])
    np.testing.assert_allclose(expected_visits(chain, 0), [0, 1, 1])
    np.testing.assert_allclose(expected_visits_second_order(chain, 0, memory=0.3), [0, 1, 1])


def test_all_memory_of_the_next_step_is_a_walk_of_first_order():
    steps, similarity = random_case(5)
    weights = first_order_steps(steps, similarity)
    second = expected_visits_second_order(weights, 0, memory=1.0, length=50)
    np.testing.assert_allclose(second, expected_visits(weights, 0, length=50))
