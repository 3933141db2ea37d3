"""What every registered method must hold to, whatever it computes."""

import dataclasses
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Case,
    GroundTruth,
    Observation,
    service_of,
    typed_table,
)
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import Ranking, all_methods
from rca_benchmark.methods.ranking import candidate_indicators
from rca_benchmark.preprocess import Preparation, prepare, without_inject_time

SERVICES = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")
METRICS = (
    "cpu",
    "mem",
    "latency-90",
    "workload",
    "error",
    "disk",
    "network-receive",
    "x",
    "y",
    "z",
)
pytestmark = pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.name)


@pytest.fixture(name="make_observation")
def make_observation_of_all_sources(make_observation, make_traces, make_logs):
    """Observations with an SLI, a chain of calls, traces and logs, unless the test has its own."""

    def make(metrics=None, **changes):
        names = ["nginx-proxy_latency-90"] if metrics is None else list(metrics.columns)
        sli = "nginx-proxy_latency-90" if "nginx-proxy_latency-90" in names else names[0]
        services = SERVICES if metrics is None else tuple(dict.fromkeys(map(service_of, names)))
        calls = [(*pair, "call") for pair in itertools.pairwise(services)]
        before = changes.get("before", 40)
        after = changes.get("after", 20) if metrics is None else len(metrics) - before
        culprit = services[min(1, len(services) - 1)]  # every trace passes it
        told = {"before": before, "after": after, "culprit": changes.get("culprit", culprit)}
        fields = {
            "sli": sli,
            "topology": typed_table(calls, EDGE_COLUMNS),
            "traces": make_traces(services, **told),
            "logs": make_logs(services, **told),
        }
        return make_observation(metrics, **(fields | changes))

    return make


def answer(method, observation, seed=0):
    """The ranking; None where the method says that it cannot answer."""
    try:
        ranking = method.function(observation, np.random.default_rng(seed))
    except MethodFailed:
        return None
    assert isinstance(ranking, Ranking)
    assert ranking.indicators
    assert len(set(ranking.indicators)) == len(ranking.indicators)
    assert set(ranking.indicators) <= set(candidate_indicators(observation))
    return ranking


def test_the_same_seed_gives_the_same_ranking(method, make_observation):
    first = answer(method, make_observation(), seed=3)
    assert first is not None
    assert answer(method, make_observation(), seed=3) == first


def test_the_seed_matters_only_where_declared(method, make_observation):
    rankings = {answer(method, make_observation(), seed) for seed in range(8)}
    assert (len(rankings) > 1) == method.stochastic


@pytest.mark.parametrize("shuffle", range(3))
def test_column_order_plays_no_part(method, make_observation, shuffle):
    observation = make_observation()
    order = np.random.default_rng(shuffle).permutation(observation.indicators)
    shuffled = dataclasses.replace(observation, metrics=observation.metrics[["time", *order]])
    assert answer(method, shuffled) == answer(method, observation)


def test_the_input_is_not_changed(method, make_observation):
    observation = make_observation()
    observation.metrics.loc[5, "ray-head_cpu"] = np.nan
    before = pickle.dumps(observation)
    answer(method, observation)
    after = pickle.loads(before)  # noqa: S301 - made two lines above
    for field in dataclasses.fields(Observation):
        kept, now = getattr(after, field.name), getattr(observation, field.name)
        if isinstance(kept, pd.DataFrame):
            pd.testing.assert_frame_equal(now, kept)
        else:
            assert now == kept


COLUMNS = {
    "constant": {"a_x": [1.0] * 8, "b_x": [1, 2, 1, 2, 1, 2, 9, 9.0]},
    "all constant": {"a_x": [1.0] * 8, "b_x": [2.0] * 8},
    "null": {"a_x": [np.nan] * 8, "b_x": [1, 2, 1, 2, 1, 2, 9, 9.0]},
    "all null": {"a_x": [np.nan] * 8},
    "gaps": {"a_x": [1, np.nan, 2, np.nan, 1, 3, np.nan, 5.0], "b_x": [np.nan] * 6 + [1.0, 2.0]},
    "infinite": {"a_x": [1, np.inf, 2, 1, 2, 1, -np.inf, 5.0], "b_x": [1.0, 2] * 4},
    "all infinite": {"a_x": [np.inf] * 8},
    "single": {"a_x": [1, 2, 1, 2, 1, 2, 9, 9.0]},
    "equal": {name: [1, 2, 1, 2, 1, 2, 9, 9.0] for name in ("a_x", "b_x", "c_x")},
    "huge and tiny": {"a_x": [1e200, 2e200] * 4, "b_x": [1e-200, 3e-200] * 4},
    "appears with the fault": {"a_x": [0.0] * 6 + [5, 5], "b_x": [1.0, 2] * 4},
}


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_hostile_columns_are_answered_or_refused(method, make_observation, name):
    metrics = pd.DataFrame(COLUMNS[name])
    answer(method, make_observation(metrics, before=6, services=("a", "b", "c")))


@pytest.mark.parametrize(("before", "after"), [(2, 2), (1, 1), (40, 2), (2, 40)])
def test_short_windows_are_answered_or_refused(method, make_observation, before, after):
    answer(method, make_observation(before=before, after=after))


def test_ten_services_of_eight_metrics_and_two_rows_of_fault(method, make_observation):
    rng = np.random.default_rng(0)
    names = [f"s{service}_{metric}" for service in range(10) for metric in METRICS[:8]]
    metrics = pd.DataFrame(rng.normal(size=(62, 80)), columns=names)
    services = tuple(f"s{service}" for service in range(10))
    assert answer(method, make_observation(metrics, before=60, services=services)) is not None


def test_a_prepared_observation_is_answered_and_read_only(method, make_observation):
    metrics = make_observation().metrics.drop(columns="time")
    metrics["ray-head_cpu"] = 1.0
    metrics["ray-replicas-0_latency-90"] += 2 * metrics["ray-replicas-1_latency-90"]
    metrics.loc[3:20, "nginx-proxy_cpu"] = np.nan
    found = prepare(make_observation(metrics), Preparation(tdelta=1.0, length=15)).observation
    seen = found if method.uses_inject_time else without_inject_time(found)
    ranking = answer(method, seen)
    assert ranking is not None
    assert answer(method, seen) == ranking  # the second time from shared values
    pd.testing.assert_frame_equal(found.metrics, seen.metrics)


def test_three_hundred_columns_are_answered_or_beyond_the_declared_bound(method, make_observation):
    rng = np.random.default_rng(0)
    names = [f"s{service}_{metric}" for service in range(30) for metric in METRICS]
    metrics = pd.DataFrame(rng.normal(size=(60, 300)), columns=names)
    services = tuple(f"s{service}" for service in range(30))
    observation = make_observation(metrics, before=50, services=services)
    if method.most_indicators is not None:
        with pytest.raises(MethodFailed, match=f"300 .* {method.most_indicators}"):
            method.function(observation, np.random.default_rng(0))
        return
    ranking = answer(method, observation)
    assert ranking is not None
    assert len(ranking.services) == 30


def test_a_refusal_has_a_reason(method, make_observation):
    observation = make_observation(services=("elsewhere",))
    with pytest.raises(MethodFailed, match="candidate"):
        method.function(observation, np.random.default_rng(0))


def test_without_an_sli_only_those_that_start_from_it_refuse(method, make_observation):
    ranking = answer(method, make_observation(sli=None))
    assert (ranking is None) == method.uses_sli


def test_an_sli_that_does_not_vary_is_answered_or_refused(method, make_observation):
    metrics = make_observation().metrics.drop(columns="time")
    metrics["nginx-proxy_latency-90"] = 1.0
    answer(method, make_observation(metrics))


def test_without_a_call_graph_methods_answer_or_refuse(method, make_observation):
    answer(method, make_observation(topology=typed_table([], EDGE_COLUMNS)))


NO_TRACES, NO_LOGS = typed_table([], TRACE_COLUMNS), typed_table([], LOG_COLUMNS)


@pytest.mark.parametrize(
    "missing",
    [{"traces": NO_TRACES}, {"logs": NO_LOGS}, {"traces": NO_TRACES, "logs": NO_LOGS}],
    ids=["no traces", "no logs", "neither"],
)
def test_without_a_source_only_those_that_declare_it_refuse(method, make_observation, missing):
    if answer(method, make_observation(**missing)) is None:
        assert method.sources & set(missing)


def odd_traces(traces, kind):
    """The same spans, with what real tracing does to them."""
    spans = traces.copy()
    late = spans.index >= 0.7 * len(spans)
    if kind == "an operation unseen before":
        spans.loc[late & (spans["serviceName"] == "ray-head"), "operationName"] = "new"
    elif kind == "one span per trace":
        spans = spans[spans["parentSpanID"] == ""]
    elif kind == "parents that were not recorded":
        spans["parentSpanID"] = "lost-" + spans["spanID"]
    elif kind == "clocks 100 ms apart":
        spans.loc[spans["serviceName"] == "ray-head", "startTime"] -= 100_000
    elif kind == "all alike":
        spans["duration"] = 1000
    elif kind == "none after the fault":
        spans = spans[~late]
    elif kind == "none before the fault":
        spans = spans[late]
    return typed_table(spans, TRACE_COLUMNS)


@pytest.mark.parametrize(
    "kind",
    [
        "an operation unseen before",
        "one span per trace",
        "parents that were not recorded",
        "clocks 100 ms apart",
        "all alike",
        "none after the fault",
        "none before the fault",
    ],
)
def test_odd_traces_are_answered_or_refused(method, make_observation, make_traces, kind):
    traces = odd_traces(make_traces(culprit="ray-head"), kind)
    ranking = answer(method, make_observation(traces=traces))
    if "none" not in kind:
        assert ranking is not None or "traces" in method.sources


def test_the_order_of_spans_and_lines_plays_no_part(method, make_observation, make_traces):
    observation = make_observation(traces=make_traces(culprit="ray-head"))
    shuffled = {
        name: getattr(observation, name).sample(frac=1, random_state=5).reset_index(drop=True)
        for name in ("traces", "logs", "topology")
    }
    assert answer(method, dataclasses.replace(observation, **shuffled)) == answer(
        method, observation
    )


def test_without_an_inject_time_only_those_told_refuse(method, make_observation):
    ranking = answer(method, make_observation(inject_time_ns=None))
    assert (ranking is None) == method.uses_inject_time


def reachable(value):
    """The value and all that its fields, items and attributes lead to."""
    yield value
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from reachable(getattr(value, field.name))
    elif isinstance(value, pd.DataFrame):
        yield from reachable(value.attrs)
        yield from (item for item in value.to_numpy(dtype=object).ravel() if isinstance(item, str))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from reachable(key)
            yield from reachable(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from reachable(item)


def test_no_truth_can_be_reached(method, make_dataset, make_traces):
    from rca_benchmark.dataset import find_cases, read_case

    case = read_case(find_cases(make_dataset(1))[0])
    seen = []

    class Spy(Observation):
        def __getattribute__(self, name):
            seen.append(name)
            return super().__getattribute__(name)

    fields = {field.name: getattr(case.observation, field.name)
              for field in dataclasses.fields(Observation)}  # fmt: skip
    fields["traces"] = make_traces(culprit="ray-head")
    assert answer(method, Spy(**fields)) is not None
    assert set(seen) - {"__class__", "indicators", "__post_init__"} <= set(fields)
    for value in reachable(case.observation):
        assert not isinstance(value, Case | GroundTruth)
        if isinstance(value, str):
            assert case.name not in value
            assert str(case.dataset) not in value
