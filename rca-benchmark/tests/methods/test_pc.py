import dataclasses

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.causal.graph import Mark
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method
from rca_benchmark.methods.pc import pc_graph, skeleton_of
from rca_benchmark.preprocess import Preparation, prepare, without_inject_time


@pytest.fixture
def collider(make_observation):
    """a_x and b_x cause c_x, which causes d_x, the SLI; e_x is alone."""
    rng = np.random.default_rng(0)
    a, b, c, d, e = rng.normal(size=(5, 400))
    c += a + b
    d += c
    metrics = pd.DataFrame({"d_x": 1e6 * d, "a_x": a, "e_x": e, "c_x": c, "b_x": b})
    services = ("a", "b", "c", "d", "e")
    return make_observation(metrics, before=200, services=services, sli="d_x")


def run(name, observation):
    return get_method(name).function(observation, np.random.default_rng(0)).services


def test_the_graph_is_that_of_the_data(collider):
    graph = pc_graph(collider, 0.01)
    assert graph.names == ("a_x", "b_x", "c_x", "d_x", "e_x")
    directed = (graph.marks == Mark.ARROW) & (graph.marks.T == Mark.TAIL)
    assert np.argwhere(directed).tolist() == [[0, 2], [1, 2], [2, 3]]
    assert graph.edges == 3


def test_causes_come_before_effects(collider):
    assert set(run("pc_pagerank", collider)[:3]) == {"a", "b", "c"}
    ranked = run("pc_randomwalk", collider)
    assert set(ranked[:3]) == {"a", "b", "c"}
    assert ranked[-1] == "d"


def test_indicators_without_an_edge_are_ranked(collider):
    assert set(run("pc_pagerank", collider)) == {"a", "b", "c", "d", "e"}


def test_a_copy_of_an_indicator_scores_like_it(collider):
    table = collider.metrics.assign(a_y=3 * collider.metrics["a_x"] + 1)
    copied = dataclasses.replace(collider, metrics=table)
    ranked = get_method("pc_pagerank").function(copied, np.random.default_rng(0)).indicators
    assert ranked.index("a_y") == ranked.index("a_x") + 1


def test_the_graph_is_found_once_for_all_methods(collider):
    prepared = prepare(collider, Preparation()).observation
    untold = without_inject_time(prepared)
    assert pc_graph(prepared, 0.05) is pc_graph(untold, 0.05)
    assert skeleton_of(prepared, 0.05) is skeleton_of(untold, 0.05)
    assert skeleton_of(prepared, 0.05) is not skeleton_of(prepared, 0.01)


@pytest.mark.parametrize("name", ["pc_pagerank", "pc_randomwalk"])
def test_without_an_edge_there_is_no_answer(make_observation, name):
    metrics = pd.DataFrame({"a_x": [1.0, -1.0] * 20, "b_x": [1.0, 1.0, -1.0, -1.0] * 10})
    observation = make_observation(metrics, before=20, services=("a", "b"), sli="a_x")
    with pytest.raises(MethodFailed, match="no causal relation"):
        run(name, observation)
