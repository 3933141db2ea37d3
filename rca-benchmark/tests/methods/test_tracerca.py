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

    {b}: support 4/4, confidence 4/5: 2 * 4 / (4 + 5); {a}: 4/4 and 4/8; {a, b}: 4/4 and 4/4, as the
    fifth trace through b does not pass a. Begins: b in all four, a in none.
    """
    passes = np.array([[1, 1, 0]] * 4 + [[0, 1, 1]] + [[1, 0, 1]] * 4, dtype=bool)
    begins = np.array([[0, 1, 0]] * 4 + [[0, 0, 0]] * 5, dtype=bool)
    assert suspicion(passes, begins).tolist() == pytest.approx([0, 1.0, 0])
    alone = passes[:, 1:]  # without a, {b} is the best set
    assert suspicion(alone, begins[:, 1:])[0] == pytest.approx(2 * 4 / (4 + 5))


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


def test_quiet_calls_are_no_answer(make_observation, make_traces):
    quiet = make_traces().assign(duration=1000)
    with pytest.raises(MethodFailed, match="no call"):
        run(make_observation(traces=typed_table(quiet, TRACE_COLUMNS)))


def test_no_spans_are_no_answer(make_observation):
    with pytest.raises(MethodFailed, match="no spans"):
        run(make_observation())
