import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import EDGE_COLUMNS, LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import BenchError, MethodFailed
from rca_benchmark.methods import (
    Ranking,
    all_methods,
    get_method,
    method,
    rank_by_score,
    rank_by_service,
)


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
    with pytest.raises(BenchError, match="no method best; there are: alert_count, baro, "):
        get_method("best")


def test_every_method_declares_itself():
    baselines = {"alert_count", "constant", "max_z", "random", "simple_rca"}
    assert {found.name for found in all_methods()} >= baselines | {"baro", "nsigma"}
    assert all(found.paper and found.sources for found in all_methods())


@pytest.mark.parametrize("name", ["alert_count", "baro", "max_z", "nsigma", "simple_rca"])
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


def test_max_z_sees_what_falls(make_observation):
    columns = {"a_x": [10.0, 11, 10, 11, 0, 0], "b_x": [10.0, 11, 10, 11, 15, 15]}
    observation = make_observation(pd.DataFrame(columns), before=4, services=("a", "b"))
    assert run("max_z", observation).services == ("a", "b")
    assert run("nsigma", observation).services == ("b", "a")


def test_alert_count_prefers_the_service_with_more_indicators_in_alarm(make_observation):
    columns = {
        "a_x": [1.0, 2, 1, 2, 99, 99],
        "b_x": [1.0, 2, 1, 2, 9, 1],
        "b_y": [1.0, 2, 1, 2, 9, 1],
    }
    observation = make_observation(pd.DataFrame(columns), before=4, services=("a", "b"))
    assert run("alert_count", observation).indicators[:2] == ("b_x", "a_x")


def test_constant_names_the_best_connected_service_whatever_the_values(make_observation):
    edges = [("nginx-proxy", "ray-head", "call"), ("ray-head", "ray-replicas-0", "call")]
    topology = typed_table(edges, EDGE_COLUMNS)
    answers = {
        run("constant", make_observation(topology=topology, culprit=culprit, seed=seed))
        for seed, culprit in enumerate(("nginx-proxy", "ray-head", "ray-replicas-1"))
    }
    (answer,) = answers
    assert answer.services == ("ray-head", "nginx-proxy", "ray-replicas-0", "ray-replicas-1")


def test_simple_rca_counts_slow_operations_and_error_lines(make_observation):
    start = int(make_observation().metrics["time"].iloc[0])
    spans = [
        ("t", str(row), "", "ray-replicas-0", "get", "get", start // 1000 + row * 10**6,
         (100 + row % 3) * (100 if row >= 40 else 1), 200)
        for row in range(60)
    ]  # fmt: skip
    lines = [
        (start + row * 10**9, "ray-replicas-1", "INFO", "Timeout of x", "f") for row in (45, 50)
    ]
    flat = pd.DataFrame({name: [1.0, 2.0] * 30 for name in make_observation().indicators})
    quiet = make_observation(flat)
    observation = make_observation(
        flat, traces=typed_table(spans, TRACE_COLUMNS), logs=typed_table(lines, LOG_COLUMNS)
    )
    assert run("simple_rca", quiet).services[0] == "nginx-proxy"  # no alert: by name
    assert run("simple_rca", observation).services[:2] == ("ray-replicas-0", "ray-replicas-1")


def test_services_are_ranked_by_their_score_and_not_by_their_indicators(make_observation):
    observation = make_observation(services=("nginx-proxy", "ray-head"))
    scores = {"ray-head_cpu": 1.0, "ray-head_latency-90": 2.0, "nginx-proxy_cpu": 9.0}
    ranking = rank_by_service({"nginx-proxy": 1.0, "ray-head": 2.0}, scores, observation)
    assert ranking.indicators == (
        "ray-head_latency-90", "nginx-proxy_cpu", "ray-head_cpu", "nginx-proxy_latency-90",
    )  # fmt: skip
    with pytest.raises(MethodFailed, match="ray-head is not finite"):
        rank_by_service({"ray-head": float("nan")}, scores, observation)
