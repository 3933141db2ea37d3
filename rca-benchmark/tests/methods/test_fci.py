import numpy as np
import pandas as pd
import pytest

from rca_benchmark.causal.graph import Mark
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method
from rca_benchmark.methods.fci import fci_graph
from rca_benchmark.methods.pc import pc_graph
from rca_benchmark.preprocess import Preparation, prepare, without_inject_time


@pytest.fixture
def hidden_cause(make_observation):
    """a_x causes b_x, d_x causes c_x, and something that was not measured causes b_x and c_x."""
    rng = np.random.default_rng(0)
    a, b, c, d, hidden = rng.normal(size=(5, 600))
    metrics = pd.DataFrame({"d_x": d, "c_x": c + d + hidden, "a_x": a, "b_x": b + a + hidden})
    services = ("a", "b", "c", "d")
    return make_observation(metrics, before=300, services=services, sli="c_x")


def run(name, observation):
    return get_method(name).function(observation, np.random.default_rng(0)).services


def test_a_hidden_common_cause_is_seen(hidden_cause):
    marks = fci_graph(hidden_cause, 0.01).marks
    arrow, circle = Mark.ARROW, Mark.CIRCLE
    assert np.argwhere(marks == arrow).tolist() == [[0, 1], [1, 2], [2, 1], [3, 2]]
    assert np.argwhere(marks == circle).tolist() == [[1, 0], [2, 3]]
    assert (pc_graph(hidden_cause, 0.01).marks[[1, 2], [2, 1]] != [arrow, arrow]).any()


def test_what_may_be_a_cause_comes_first(make_observation):
    a, b, noise = np.random.default_rng(0).normal(size=(3, 300))
    metrics = pd.DataFrame({"a_x": a, "b_x": b, "c_x": a + b + noise})  # a o-> c <-o b
    observation = make_observation(metrics, before=100, services=("a", "b", "c"))
    assert run("fci_pagerank", observation)[-1] == "c"


def test_the_walk_starts_from_the_sli(hidden_cause):
    ranked = run("fci_randomwalk", hidden_cause)
    assert ranked[0] == "d"
    assert ranked[-1] == "c"


def test_the_graph_is_found_once_for_all_methods(hidden_cause):
    prepared = prepare(hidden_cause, Preparation()).observation
    assert fci_graph(prepared, 0.05) is fci_graph(without_inject_time(prepared), 0.05)


@pytest.mark.parametrize("name", ["fci_pagerank", "fci_randomwalk"])
def test_without_an_edge_there_is_no_answer(make_observation, name):
    metrics = pd.DataFrame({"a_x": [1.0, -1.0] * 20, "b_x": [1.0, 1.0, -1.0, -1.0] * 10})
    observation = make_observation(metrics, before=20, services=("a", "b"), sli="a_x")
    with pytest.raises(MethodFailed, match="no causal relation"):
        run(name, observation)
