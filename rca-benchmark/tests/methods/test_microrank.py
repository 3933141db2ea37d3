import numpy as np
import pytest

from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.spans import spans_of
from rca_benchmark.methods import get_method
from rca_benchmark.methods.microrank import Coverage, cover, operation_weights, partition, spectrum

SERVICES = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")
NONE = np.array([], dtype=np.int64)


def coverage(*traces, operations=3, calls=()):
    """Traces as tuples of the operations that they cover."""
    pairs = [(place, operation) for place, trace in enumerate(traces) for operation in trace]
    trace, operation = np.array(pairs).T
    callers, callees = np.array(calls).T if calls else (NONE, NONE)
    return Coverage(trace, operation, len(traces), operations, callers, callees)


def run(observation):
    return get_method("microrank").function(observation, np.random.default_rng(0))


@pytest.mark.parametrize("culprit", SERVICES)
def test_the_service_that_slows_traces_comes_first(make_observation, make_traces, culprit):
    found = run(make_observation(traces=make_traces(culprit=culprit)))
    if culprit.startswith("ray-replicas"):  # only its own traces are slow
        assert found.services[0] == culprit
    else:  # every trace is: coverage cannot tell the two that all of them pass
        assert culprit in found.services[:2]


def test_the_spectrum_of_one_trace_each_by_hand():
    """Operation 0 in both traces, 1 in the anomalous one only, 2 in the normal one only.

    With one trace PageRank gives all operations that it covers the same rank, 1; times the mean, 1,
    that is their weight. So ef = 1, nf = 0 for 0 and 1; ep = 1 for 0 and 1e-7 for 1; no anomalous
    trace covers 2. Dstar2 = ef^2 / (ep + nf).
    """
    found = spectrum(coverage((0, 1)), coverage((0, 2)))
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(1e7)
    assert found[2] == 0.0


def test_dstar_is_that_of_its_counts_and_weights():
    anomalous, normal = coverage((0, 1), (1,), (1, 2)), coverage((0,), (0, 2))
    weight = operation_weights(anomalous, by_coverage=0.5)
    passed = operation_weights(normal, by_coverage=0.0)
    found = spectrum(anomalous, normal)
    # Operation 0: 1 of 3 anomalous traces, 2 of 2 normal ones.
    expected = (weight[0] * 1) ** 2 / (passed[0] * 2 + weight[0] * 2)
    assert found[0] == pytest.approx(expected)
    assert np.argmax(found) == 1


def by_hand(cover_of, calls, preference, steps=400):
    """PageRank with dense matrices, straight from the equations."""
    traces, operations = len(cover_of), 1 + max(max(trace) for trace in cover_of)
    down, up = np.zeros((operations, traces)), np.zeros((traces, operations))
    for place, trace in enumerate(cover_of):
        for operation in trace:
            down[operation, place] = 1 / len(trace)
            up[place, operation] = 1 / sum(operation in other for other in cover_of)
    called = np.zeros((operations, operations))
    for caller, callee in calls:
        called[callee, caller] = 1 / sum(other[0] == caller for other in calls)
    score, rank = np.full(operations, 1 / operations), np.full(traces, 1 / traces)
    for _ in range(steps):
        moved = 0.85 * (down @ rank + 0.01 * called @ score)
        rank = 0.85 * up @ score + 0.15 * np.array(preference)
        score, rank = moved / moved.max(), rank / rank.max()
    return score * score.sum() / operations


def test_weights_are_those_of_the_equations():
    traces, calls = ((0, 1, 2), (0, 1), (0, 1)), ((0, 1), (1, 2))
    # Kinds: sizes 1, 2, 2; operations: 3, 2, 2.
    kinds, sizes = np.array([1, 0.5, 0.5]), np.array([1 / 3, 1 / 2, 1 / 2])
    preference = 0.5 * kinds / kinds.sum() + 0.5 * sizes / sizes.sum()
    found = operation_weights(coverage(*traces, calls=calls), by_coverage=0.5)
    np.testing.assert_allclose(found, by_hand(traces, calls, preference))


def test_a_trace_is_anomalous_if_it_exceeds_what_its_operations_take(make_observation, make_traces):
    spans = spans_of(make_observation(traces=make_traces(culprit="ray-replicas-0")))
    anomalous, normal = partition(spans)
    assert anomalous.sum() == 10  # every other trace of the 20 passes it
    assert normal.sum() == 10
    assert cover(spans, anomalous).traces == 10


def test_quiet_traces_are_no_answer(make_observation):
    start = int(make_observation().metrics["time"].iloc[0]) // 1000
    rows = [(str(n), str(n), "", "ray-head", "m", "op", start + n * 10**6, 1000, 200)
            for n in range(60)]  # fmt: skip
    with pytest.raises(MethodFailed, match="no trace takes longer"):
        run(make_observation(traces=typed_table(rows, TRACE_COLUMNS)))


def test_no_spans_are_no_answer(make_observation):
    with pytest.raises(MethodFailed, match="no spans"):
        run(make_observation())


def test_shuffled_spans_give_the_same_answer(make_observation, make_traces):
    traces = make_traces(culprit="ray-replicas-1")
    shuffled = traces.sample(frac=1, random_state=3).reset_index(drop=True)
    assert run(make_observation(traces=traces)) == run(make_observation(traces=shuffled))
