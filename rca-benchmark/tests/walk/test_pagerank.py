import networkx as nx
import numpy as np
import pytest

from rca_benchmark.walk.pagerank import pagerank


@pytest.mark.parametrize("personalised", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_equal_to_networkx(seed, personalised):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    steps = rng.random((count, count)) * (rng.random((count, count)) < 3 / count)
    restart = rng.random(count) if personalised else None
    expected = nx.pagerank(
        nx.from_numpy_array(steps, create_using=nx.DiGraph),
        alpha=0.85,
        personalization=dict(enumerate(restart)) if personalised else None,
        max_iter=1000,
        tol=1e-14,
    )
    found = pagerank(steps, restart=restart)
    np.testing.assert_allclose(found, [expected[node] for node in range(count)], atol=1e-10)


def test_scores_flow_along_the_steps():
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0.0]])
    first, second, third = pagerank(chain)
    assert first < second < third


def test_a_graph_without_steps_is_its_restart():
    np.testing.assert_allclose(pagerank(np.zeros((4, 4))), [0.25] * 4)
    restart = np.array([0, 1, 3, 0.0])
    np.testing.assert_allclose(pagerank(np.zeros((4, 4)), restart=restart), restart / 4)


def test_weights_are_relative_and_an_empty_restart_is_everywhere():
    steps = np.array([[0, 1, 3], [1, 0, 0], [0, 2, 0.0]])
    np.testing.assert_allclose(pagerank(steps * 7), pagerank(steps))
    np.testing.assert_allclose(pagerank(steps, restart=np.zeros(3)), pagerank(steps))
