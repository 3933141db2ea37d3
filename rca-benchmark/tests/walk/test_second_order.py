import numpy as np
import pytest

from rca_benchmark.walk.second_order import expected_visits


def random_walk(seed, nodes=7):
    rng = np.random.default_rng(seed)
    weights = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.4)
    weights[3] = 0  # from here the walk begins anew
    return weights, rng.random(nodes)


def chances(weights, beta, before, node):
    """Of the next node; ``before`` is None where the walk has just begun."""
    moves = weights[node] / weights[node].sum()
    if before is None:
        return moves
    last = weights[before, node] / weights[before].sum()
    found = np.where(moves > 0, (1 - beta) * last + beta * moves, 0.0)
    return found / found.sum()


def over_all_pairs(weights, start, restart, beta, length):
    """The same by the definition: the chance of each pair of last and present node."""
    now, visited = {(None, start): 1.0}, np.zeros(len(weights))
    for _ in range(length):
        after = {}
        for (before, node), chance in now.items():
            alive = weights[node].any()
            moves = chances(weights, beta, before, node) if alive else restart / restart.sum()
            for place in np.flatnonzero(moves):
                state = (node if alive else None, int(place))
                after[state] = after.get(state, 0.0) + chance * moves[place]
                visited[place] += chance * moves[place]
        now = after
    return visited


@pytest.mark.parametrize("beta", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_chain_of_all_pairs(seed, beta):
    weights, restart = random_walk(seed)
    found = expected_visits(weights, 0, restart, beta=beta, length=50)
    np.testing.assert_allclose(found, over_all_pairs(weights, 0, restart, beta, 50), atol=1e-9)
    assert found.sum() == pytest.approx(50)


@pytest.mark.parametrize("seed", range(2))
def test_visits_are_those_of_many_walks(seed):
    weights, restart = random_walk(seed, nodes=5)
    rng = np.random.default_rng(seed)
    counts = np.zeros((1500, 5))
    for count in counts:
        before, node = None, 0
        for _ in range(20):
            if weights[node].any():
                moves, before = chances(weights, 0.3, before, node), node
            else:
                moves, before = restart / restart.sum(), None
            node = int(rng.choice(5, p=moves))
            count[node] += 1
    error = counts.std(axis=0, ddof=1) / len(counts) ** 0.5
    found = expected_visits(weights, 0, restart, beta=0.3, length=20)
    assert np.all(np.abs(found - counts.mean(axis=0)) <= 4.5 * error + 1e-12)


def test_three_steps_by_hand():
    # 0 -> 1 surely; from 1 by p: 1/4 to 0, 3/4 to 2. After 0 -> 1 (p = 1), with beta 1/2:
    # 1/2 + 1/8 = 5/8 to 0 against 1/2 + 3/8 = 7/8 to 2.
    weights = np.array([[0, 2, 0], [1, 0, 3], [0, 0, 1.0]])
    found = expected_visits(weights, 0, np.zeros(3), beta=0.5, length=3)
    back = 5 / 12
    np.testing.assert_allclose(found, [back, 1 + back, 2 * (1 - back)])


def test_without_memory_it_is_a_markov_chain():
    weights, restart = random_walk(1)
    weights[3, 2] = 1
    moves = weights / weights.sum(axis=1, keepdims=True)
    powers = [np.linalg.matrix_power(moves, step)[4] for step in range(1, 31)]
    found = expected_visits(weights, 4, restart, beta=1.0, length=30)
    np.testing.assert_allclose(found, np.sum(powers, axis=0), atol=1e-9)


def test_a_start_without_steps_begins_anew():
    weights = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    found = expected_visits(weights, 0, np.array([0, 1, 3.0]), beta=0.3, length=8)
    np.testing.assert_allclose(found, [0, 2, 6])
    assert not expected_visits(weights, 0, np.zeros(3), length=8).any()


def test_long_walks_stay_in_proportion():
    weights, restart = random_walk(2, nodes=40)
    assert expected_visits(weights, 0, restart, beta=0.3).sum() == pytest.approx(1000)
