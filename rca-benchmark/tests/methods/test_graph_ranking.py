import numpy as np
import pandas as pd
import pytest

from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.causal.series import complete_series
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.graph_ranking import rank_by_pagerank, rank_by_random_walk

RANKERS = [rank_by_pagerank, rank_by_random_walk]
NAMES = ("a_x", "b_x", "c_x", "d_x")


@pytest.fixture(name="chain")
def chain_of_effects(make_observation):
    """Data of a -> b -> c with d apart, and an observation with the SLI c."""
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 60))
    b, c = b + 2 * a, c + 2 * (b + 2 * a)
    metrics = pd.DataFrame(dict(zip(NAMES, (a, b, c, d), strict=True)))
    observation = make_observation(metrics, sli="c_x", services=("a", "b", "c", "d"))
    return complete_series(observation.metrics), observation


def graph_of(*edges):
    causes = np.zeros((4, 4), dtype=bool)
    for cause, effect in edges:
        causes[NAMES.index(f"{cause}_x"), NAMES.index(f"{effect}_x")] = True
    return CausalGraph.from_causes(NAMES, causes)


@pytest.mark.parametrize("rank", RANKERS)
def test_the_cause_comes_before_its_effects(rank, chain):
    series, observation = chain
    services = rank(graph_of(("a", "b"), ("b", "c")), series, observation).services
    assert services.index("a") < services.index("b") < services.index("c")


@pytest.mark.parametrize("rank", RANKERS)
def test_without_an_edge_there_is_no_answer(rank, chain):
    with pytest.raises(MethodFailed, match="no causal relation"):
        rank(graph_of(), *chain)


@pytest.mark.parametrize("rank", RANKERS)
def test_all_indicators_are_ranked(rank, chain):
    assert len(rank(graph_of(("a", "b")), *chain).indicators) == 4


def test_the_walk_follows_the_data_and_not_the_graph_alone(chain, make_observation):
    series, observation = chain
    graph = graph_of(("a", "c"), ("d", "c"))
    services = rank_by_random_walk(graph, series, observation).services
    assert services.index("a") < services.index("d")
    swapped = observation.metrics.rename(columns={"a_x": "d_x", "d_x": "a_x"})
    other = complete_series(swapped)
    changed = make_observation(swapped.drop(columns="time"), sli="c_x", services=tuple("abcd"))
    services = rank_by_random_walk(graph, other, changed).services
    assert services.index("d") < services.index("a")


def test_the_walk_needs_an_sli(chain, make_observation):
    series, _ = chain
    observation = make_observation(services=tuple("abcd"))
    with pytest.raises(MethodFailed, match="no SLI"):
        rank_by_random_walk(graph_of(("a", "b")), series, observation)
