import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import Birch

from rca_benchmark.case import EDGE_COLUMNS, typed_table
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method
from rca_benchmark.methods.microrca import several_clusters
from rca_benchmark.methods.microscope import search
from rca_benchmark.methods.service_graph import call_graph, service_series

CALLS = [("front", "a"), ("front", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("d", "e")]
SERVICES = ("a", "b", "c", "d", "e", "front")


def topology(calls=CALLS):
    return typed_table([(*call, "call") for call in calls], EDGE_COLUMNS)


def slow_service(make_observation, seed, culprit, **changes):
    """Response times that add up along the calls; the culprit's own share grows with its CPU."""
    rng = np.random.default_rng(seed)
    rows, before = 150, 90
    load = rng.normal(0, 1, rows).cumsum() / 10
    cpu = {name: 20 + load + rng.normal(0, 0.3, rows) for name in SERVICES}
    own = {name: 10 + 0.2 * load + rng.normal(0, 0.3, rows) for name in SERVICES}
    cpu[culprit][before:] += 30 + rng.normal(0, 4, rows - before)
    own[culprit][before:] += 1.2 * (cpu[culprit][before:] - 20)
    total = dict(own)
    for name in ("d", "c", "a", "b", "front"):  # callees before callers
        called = [callee for caller, callee in CALLS if caller == name]
        total[name] = own[name] + sum((total[callee] for callee in called), np.zeros(rows))
    columns = {f"{name}_latency-90": total[name] for name in SERVICES}
    columns |= {f"{name}_cpu": cpu[name] for name in SERVICES}
    fields = {"topology": topology(), "sli": "front_latency-90", "services": SERVICES}
    return make_observation(pd.DataFrame(columns), before=before, **(fields | changes))


def first_of(name, observation):
    return get_method(name).function(observation, np.random.default_rng(0)).services


@pytest.mark.parametrize(("name", "least"), [("microrca", 20), ("microscope", 20)])
def test_the_slow_service_comes_first(make_observation, name, least):
    """Of 24 systems."""
    right = sum(
        first_of(name, slow_service(make_observation, seed, culprit))[0] == culprit
        for seed in range(6)
        for culprit in ("c", "d", "e", "b")
    )
    assert right >= least


def test_monitorrank_puts_the_slow_service_among_the_first_two(make_observation):
    """Of 24 systems; the caller of a slow service resembles the front end as much."""
    right = sum(
        culprit in first_of("monitorrank", slow_service(make_observation, seed, culprit))[:2]
        for seed in range(6)
        for culprit in ("c", "d", "e", "b")
    )
    assert right >= 20


@pytest.mark.parametrize("name", ["microrca", "microscope", "monitorrank"])
def test_calls_lead_to_causes_and_not_back(make_observation, name):
    observation = slow_service(make_observation, 0, "e")
    turned = topology([(callee, caller) for caller, callee in CALLS])
    found = first_of(name, observation)
    back = first_of(name, slow_service(make_observation, 0, "e", topology=turned))
    assert found.index("e") < back.index("e")


@pytest.mark.parametrize("name", ["microrca", "monitorrank"])
def test_without_a_call_graph_there_is_no_answer(make_observation, name):
    observation = slow_service(make_observation, 0, "d", topology=topology([]))
    with pytest.raises(MethodFailed, match="no call graph"):
        first_of(name, observation)


def test_microscope_learns_a_graph_where_there_is_none(make_observation):
    observation = slow_service(make_observation, 0, "d", topology=topology([]))
    assert set(first_of("microscope", observation)) == set(SERVICES)


def test_the_call_graph_is_read_from_spans_where_the_topology_has_none(
    make_observation, make_traces
):
    names = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")
    observation = make_observation(topology=topology([]), traces=make_traces())
    calls = call_graph(observation, names)
    assert sorted(zip(*map(np.ndarray.tolist, np.nonzero(calls)), strict=True)) == [
        (0, 1), (1, 2), (1, 3),
    ]  # fmt: skip


def test_calls_both_ways_are_kept(make_observation):
    observation = make_observation(topology=topology([("x", "y"), ("y", "x"), ("x", "x")]))
    np.testing.assert_array_equal(
        call_graph(observation, ("x", "y")), [[False, True], [True, False]]
    )


def test_monitorrank_never_names_the_front_end_first(make_observation):
    assert first_of("monitorrank", slow_service(make_observation, 0, "front"))[-1] == "front"


def test_nothing_anomalous_is_no_answer_of_microrca(make_observation):
    rows = np.arange(60) % 5
    quiet = pd.DataFrame({f"{name}_latency-90": 100.0 + rows for name in SERVICES})
    observation = make_observation(quiet, topology=topology(), services=SERVICES)
    with pytest.raises(MethodFailed, match=r"no response time .* anomalous"):
        first_of("microrca", observation)


def test_the_response_time_is_the_mean_of_its_indicators(make_observation):
    rng = np.random.default_rng(0)
    metrics = pd.DataFrame(
        rng.normal(size=(60, 3)), columns=["a_latency-50", "a_latency-90", "a_cpu"]
    )
    found = service_series(make_observation(metrics, services=("a",)))
    standard = (metrics - metrics.mean()) / metrics.std(ddof=0)
    np.testing.assert_allclose(found.response[:, 0], standard.iloc[:, :2].mean(axis=1))
    np.testing.assert_allclose(found.resources["a"][:, 0], standard["a_cpu"])


@pytest.mark.parametrize("seed", range(40))
def test_a_second_cluster_is_where_birch_opens_one(seed):
    rng = np.random.default_rng(seed)
    series = rng.normal(1.0, rng.uniform(0.01, 0.4), 80) + (np.arange(80) > 50) * rng.choice([0, 2])
    scaled = series / np.sqrt((series**2).mean())
    birch = Birch(n_clusters=None, threshold=0.27).fit(scaled[:, None])
    assert several_clusters(series, 0.27) == (len(birch.subcluster_centers_) > 1)


def test_the_search_ends_in_the_last_anomalous_services():
    causes = np.zeros((6, 6), dtype=bool)
    for caller, callee in [(0, 1), (1, 2), (1, 3), (3, 4), (4, 3), (0, 5)]:
        causes[caller, callee] = True
    anomalous = np.array([False, True, False, True, True, False])
    reached, last = search(causes, anomalous, 0)
    assert np.flatnonzero(reached).tolist() == [0, 1, 3, 4]
    assert np.flatnonzero(last).tolist() == [3, 4]  # they reach each other
    reached, last = search(causes, np.zeros(6, dtype=bool), 0)
    assert np.flatnonzero(last).tolist() == [0]
