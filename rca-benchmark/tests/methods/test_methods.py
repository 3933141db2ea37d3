import numpy as np
import pandas as pd
import pytest

from rca_benchmark.errors import BenchError, MethodFailed
from rca_benchmark.methods import Ranking, all_methods, get_method, method, rank_by_score


def run(name, observation, seed=0):
    return get_method(name).function(observation, np.random.default_rng(seed))


def test_services_are_the_indicators_services_without_repeats():
    assert Ranking(("b_x", "a_x", "b_y")).services == ("b", "a")


def test_equal_scores_are_ordered_by_name(make_observation):
    names = sorted(make_observation().indicators)
    assert rank_by_score(dict.fromkeys(reversed(names), 1.0), make_observation()).indicators == (
        *names,
    )


def test_only_candidates_are_ranked(make_observation):
    observation = make_observation(services=("ray-head",))
    ranking = rank_by_score(dict.fromkeys(observation.indicators, 1.0), observation)
    assert ranking.services == ("ray-head",)


def test_a_score_that_is_not_finite_is_a_failure(make_observation):
    with pytest.raises(MethodFailed, match="ray-head_cpu is not finite"):
        rank_by_score({"ray-head_cpu": float("nan")}, make_observation())


def test_no_score_at_all_is_a_failure(make_observation):
    with pytest.raises(MethodFailed, match="no indicator"):
        rank_by_score({}, make_observation())


def test_names_are_unique():
    with pytest.raises(ValueError, match="registered twice"):
        method(name="baro", sources=(), paper="", uses_inject_time=True, stochastic=False)(run)


def test_an_unknown_method_is_named_with_what_there_is():
    with pytest.raises(BenchError, match="no method best; there are: baro, nsigma, random"):
        get_method("best")


def test_every_method_declares_itself():
    assert [found.name for found in all_methods()] == ["baro", "nsigma", "random"]
    assert all(found.paper and found.sources for found in all_methods())


@pytest.mark.parametrize("name", ["baro", "nsigma"])
def test_the_culprit_comes_first(make_observation, name):
    observation = make_observation(culprit="ray-replicas-1")
    assert run(name, observation).services[0] == "ray-replicas-1"


def scores_follow(make_observation, name, columns, before):
    observation = make_observation(pd.DataFrame(columns), before=before, services=("a", "b", "c"))
    return run(name, observation).indicators


def test_baro_scales_by_the_quartiles(make_observation):
    # a: (10 - 3) / 2 = 3.5; b: (9 - 3) / 1 = 6; c falls: (1 - 3) / 2 < 0.
    columns = {
        "a_x": [1.0, 2, 3, 4, 5, 10],
        "b_x": [2.0, 2.5, 3, 3.5, 4, 9],
        "c_x": [1.0, 2, 3, 4, 5, 1],
    }
    assert scores_follow(make_observation, "baro", columns, 5) == ("b_x", "a_x", "c_x")


def test_nsigma_scales_by_the_standard_deviation(make_observation):
    # a: (10 - 3) / 1.41 = 4.9; b: (9 - 3) / 4.9 = 1.2, though its quartiles are equal.
    columns = {"a_x": [1.0, 2, 3, 4, 5, 10], "b_x": [3.0, -9, 3, 3, 15, 9]}
    assert scores_follow(make_observation, "nsigma", columns, 5) == ("a_x", "b_x")
    assert scores_follow(make_observation, "baro", columns, 5) == ("a_x", "b_x")


@pytest.mark.parametrize("name", ["baro", "nsigma"])
def test_a_unit_does_not_change_the_order(make_observation, name):
    observation = make_observation()
    observation.metrics.loc[:39, "nginx-proxy_cpu"] = 7.0  # no spread before the fault
    order = run(name, observation).indicators
    observation.metrics[["nginx-proxy_cpu", "ray-head_cpu"]] *= 1e9
    assert run(name, observation).indicators == order


def test_random_gives_every_service_the_same_chance(make_observation):
    """Services with many indicators come first no more often than those with one."""
    columns = [f"a_m{number}" for number in range(7)] + ["b_x", "c_x", "d_x"]
    metrics = pd.DataFrame(np.ones((4, 10)), columns=columns)
    observation = make_observation(metrics, before=2, services=("a", "b", "c", "d"))
    first = [run("random", observation, seed).services[0] for seed in range(2000)]
    expected, deviation = 500, (2000 * 0.25 * 0.75) ** 0.5
    for service in "abcd":
        assert abs(first.count(service) - expected) < 2.576 * deviation


def test_random_ranks_every_indicator(make_observation):
    observation = make_observation()
    assert sorted(run("random", observation).indicators) == sorted(observation.indicators)


def test_random_needs_an_indicator_of_a_candidate(make_observation):
    with pytest.raises(MethodFailed, match="no candidate"):
        run("random", make_observation(services=("elsewhere",)))
