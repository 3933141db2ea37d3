import numpy as np
import pandas as pd
import pytest

from rca_benchmark.methods import get_method
from rca_benchmark.methods.lingam import lingam_graph
from rca_benchmark.methods.micro_diag import direct_graph


def chain(seed, rows=400):
    """a drives b drives c drives d, with uniform noise."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1, 1, (rows, 4))
    for place in range(1, 4):
        noise[:, place] += 0.9 * noise[:, place - 1]
    return pd.DataFrame(noise, columns=["a_x", "b_x", "c_x", "d_x"])


@pytest.mark.parametrize("name", ["lingam_pagerank", "lingam_randomwalk", "micro_diag"])
def test_the_root_of_a_chain_comes_first(make_observation, name):
    right = 0
    for seed in range(20):
        observation = make_observation(chain(seed), before=300, services=tuple("abcd"), sli="d_x")
        ranking = get_method(name).function(observation, np.random.default_rng(seed))
        right += ranking.indicators[0] == "a_x"
    assert right >= 17


def test_edges_weigh_as_much_as_their_coefficients(make_observation):
    observation = make_observation(chain(0), before=300, services=tuple("abcd"))
    graph = direct_graph(observation)
    assert graph.parents[0, 1]
    assert graph.parents[2, 3]
    assert not graph.parents[1, 0]
    assert graph.weights[2, 3] > graph.weights[0, 3]


def test_an_indicator_that_others_determine_has_no_edge(make_observation):
    metrics = chain(1)
    metrics["e_sum"] = metrics["a_x"] + 2 * metrics["b_x"]
    observation = make_observation(metrics, before=300, services=tuple("abcde"))
    graph = lingam_graph(observation, np.random.default_rng(0))
    touched = (graph.marks != 0).any(axis=1)
    assert touched.sum() == 4


def test_more_indicators_than_rows_are_answered(make_observation):
    metrics = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 40)))
    metrics.columns = [f"s{place % 5}_m{place}" for place in range(40)]
    observation = make_observation(metrics, before=10, services=tuple(f"s{n}" for n in range(5)))
    ranking = get_method("micro_diag").function(observation, np.random.default_rng(0))
    assert len(ranking.indicators) == 40
