import dataclasses

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.causal.graph import Mark
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method
from rca_benchmark.methods.ges import ges_graph
from rca_benchmark.preprocess import Preparation, prepare, without_inject_time


@pytest.fixture
def collider(make_observation):
    """a_x and b_x cause c_x, which causes d_x; e_x is alone."""
    rng = np.random.default_rng(0)
    a, b, c, d, e = rng.normal(size=(5, 400))
    c += a + b
    d += c
    metrics = pd.DataFrame({"d_x": 1e6 * d, "a_x": a, "e_x": e, "c_x": c, "b_x": b})
    return make_observation(metrics, before=200, services=tuple("abcde"))


def run(observation):
    return get_method("ges_pagerank").function(observation, np.random.default_rng(0))


def test_the_graph_is_that_of_the_data(collider):
    graph = ges_graph(collider)
    assert graph.names == ("a_x", "b_x", "c_x", "d_x", "e_x")
    assert np.argwhere(graph.parents).tolist() == [[0, 2], [1, 2], [2, 3]]
    assert graph.edges == 3


def test_causes_come_before_effects_and_all_are_ranked(collider):
    ranking = run(collider)
    assert set(ranking.services[:3]) == {"a", "b", "c"}
    assert set(ranking.services) == set("abcde")


def test_a_copy_of_an_indicator_scores_like_it(collider):
    table = collider.metrics.assign(a_y=3 * collider.metrics["a_x"] + 1)
    ranked = run(dataclasses.replace(collider, metrics=table)).indicators
    assert ranked.index("a_y") == ranked.index("a_x") + 1


def test_an_indicator_that_others_determine_has_no_edge(collider):
    table = collider.metrics
    table = table.assign(a_sum=table["a_x"] + 2 * table["b_x"] - table["c_x"] + table["e_x"])
    graph = ges_graph(dataclasses.replace(collider, metrics=table))
    assert (graph.marks == Mark.NONE).all(axis=1).any()


def test_the_graph_is_found_once_for_all_methods(collider):
    prepared = prepare(collider, Preparation()).observation
    assert ges_graph(prepared) is ges_graph(without_inject_time(prepared))


def test_more_indicators_than_rows_are_answered(make_observation):
    metrics = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 40)).cumsum(axis=0))
    metrics.columns = [f"s{place % 5}_m{place}" for place in range(40)]
    observation = make_observation(metrics, before=10, services=tuple(f"s{n}" for n in range(5)))
    assert len(run(observation).indicators) == 40


def test_without_an_edge_there_is_no_answer(make_observation):
    metrics = pd.DataFrame({"a_x": [1.0, -1.0] * 20, "b_x": [1.0, 1.0, -1.0, -1.0] * 10})
    observation = make_observation(metrics, before=20, services=("a", "b"))
    with pytest.raises(MethodFailed, match="no causal relation"):
        run(observation)
