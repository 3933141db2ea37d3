import itertools

import numpy as np
import pytest

from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.spans import spans_of
from rca_benchmark.methods import get_method
from rca_benchmark.methods.tracerca import anomalous_calls, suspicion


def run(observation):
    return get_method("tracerca").function(observation, np.random.default_rng(0))


@pytest.mark.parametrize("culprit", ["nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1"])
def test_the_service_at_which_anomalies_begin_comes_first(make_observation, make_traces, culprit):
    assert run(make_observation(traces=make_traces(culprit=culprit))).services[0] == culprit


def test_rules_by_hand():
    """Eight traces over services a, b, c; the four abnormal ones pass a and b, and begin at b.

    {b}: support 4/4, confidence 4/5: 1 / (4/4 + 5/4 - 1); {a}: 4/4 and 4/8; {a, b}: 4/4 and 4/4, as
    the fifth trace through b does not pass a. Begins: b in all four, a in none.
    """
    passes = np.array([[1, 1, 0]] * 4 + [[0, 1, 1]] + [[1, 0, 1]] * 4, dtype=bool)
    begins = np.array([[0, 1, 0]] * 4 + [[0, 0, 0]] * 5, dtype=bool)
    assert suspicion(passes, begins).tolist() == pytest.approx([0, 1.0, 0])
    alone = passes[:, 1:]  # without a, {b} is the best set
    assert suspicion(alone, begins[:, 1:])[0] == pytest.approx(4 / 5)


def by_trying_all_sets(passes, begins):
    abnormal = begins.any(axis=1)
    scores = np.zeros(passes.shape[1])
    for size in (1, 2, 3):
        for chosen in itertools.combinations(range(passes.shape[1]), size):
            among = passes[:, chosen].all(axis=1)
            hits = (among & abnormal).sum()
            if hits >= 0.1 * abnormal.sum():
                support, confidence = hits / abnormal.sum(), hits / among.sum()
                jaccard = 1 / (1 / support + 1 / confidence - 1)
                for service in chosen:
                    own = begins[among & abnormal, service].mean()
                    scores[service] = max(scores[service], jaccard * own)
    return scores


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_the_best_of_all_sets(seed):
    rng = np.random.default_rng(seed)
    passes = rng.random((60, 7)) < 0.6
    begins = passes & (rng.random((60, 7)) < rng.choice([0.02, 0.1, 0.4], 7))
    np.testing.assert_allclose(suspicion(passes, begins), by_trying_all_sets(passes, begins))


def test_shared_blame_is_shared():
    passes = np.ones((4, 2), dtype=bool)
    begins = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=bool)
    assert suspicion(passes, begins).tolist() == pytest.approx([0.75, 0.25])


def test_a_feature_that_did_not_change_is_not_used(make_observation):
    """Durations that scatter as before: an outlier alone makes no call anomalous."""
    rng = np.random.default_rng(0)
    start = int(make_observation().metrics["time"].iloc[0]) // 1000
    durations = rng.normal(10_000, 500, 60).astype(int)
    durations[50] = 20_000
    rows = [(str(n), str(n), "", "ray-head", "m", "op", start + n * 10**6, int(durations[n]), 200)
            for n in range(60)]  # fmt: skip
    spans = spans_of(make_observation(traces=typed_table(rows, TRACE_COLUMNS)))
    assert not anomalous_calls(spans).any()
    durations[45:] = 20_000
    rows = [(*row[:7], int(durations[n]), 200) for n, row in enumerate(rows)]
    spans = spans_of(make_observation(traces=typed_table(rows, TRACE_COLUMNS)))
    assert anomalous_calls(spans).sum() == 15


def test_failures_alone_are_seen(make_observation):
    start = int(make_observation().metrics["time"].iloc[0]) // 1000
    rows = [
        (str(n), f"{n}{service}", "", service, "m", "op", start + n * 10**6, 1000,
         500 if n >= 50 and service == "ray-replicas-1" else 200)
        for n in range(60) for service in ("ray-head", "ray-replicas-1")
    ]  # fmt: skip
    observation = make_observation(traces=typed_table(rows, TRACE_COLUMNS))
    assert run(observation).services[0] == "ray-replicas-1"


def chain(start, *, late_call, seen=40):
    """A call from ray-head to ray-replicas-0 per second; it lasts 1 ms, later ``late_call`` us.

    Each row: (trace, span, parent, service, method, operation, begin, duration, status).
    """
    rng = np.random.default_rng(0)
    for row in [*range(40 - seen, 40), *range(40, 60)]:
        begin = start + row * 10**6
        out = int(rng.integers(900, 1100)) if row < 40 else late_call
        yield (f"{row}", "a", "", "ray-head", "m", "serve", begin, out + 20, 200)
        yield (f"{row}", "b", "a", "ray-head", "m", "call", begin + 10, out, 200)
        yield (f"{row}", "c", "b", "ray-replicas-0", "m", "get", begin + 20, 500, 200)


def test_time_lost_on_the_way_speaks_against_the_service_that_is_called(make_observation):
    start = int(make_observation().metrics["time"].iloc[0]) // 1000
    for late_call in (9000, 510):  # much longer than before, or much shorter
        traces = typed_table(chain(start, late_call=late_call), TRACE_COLUMNS)
        assert run(make_observation(traces=traces)).services[0] == "ray-replicas-0"


@pytest.mark.parametrize(("seen", "known"), [(10, False), (11, True)])
def test_of_ten_calls_before_nothing_is_known(make_observation, seen, known):
    start = int(make_observation().metrics["time"].iloc[0]) // 1000
    traces = typed_table(chain(start, late_call=9000, seen=seen), TRACE_COLUMNS)
    assert anomalous_calls(spans_of(make_observation(traces=traces))).any() == known


def test_quiet_calls_are_no_answer(make_observation, make_traces):
    quiet = make_traces().assign(duration=1000)
    with pytest.raises(MethodFailed, match="no call"):
        run(make_observation(traces=typed_table(quiet, TRACE_COLUMNS)))


def test_no_spans_are_no_answer(make_observation):
    with pytest.raises(MethodFailed, match="no spans"):
        run(make_observation())
