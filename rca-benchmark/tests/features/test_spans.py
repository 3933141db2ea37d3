import numpy as np
import pytest

from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.features.spans import spans_of

START = 1_795_417_200_000_000  # microseconds


def spans(make_observation, *rows, **changes):
    """Rows of (trace, span, parent, service, begin, duration)."""
    table = typed_table(
        [(trace, span, parent, service, "m", "op", START + begin, duration, 200)
         for trace, span, parent, service, begin, duration in rows],
        TRACE_COLUMNS,
    )  # fmt: skip
    return spans_of(make_observation(traces=table, **changes))


def test_callers_are_found_within_their_trace(make_observation):
    found = spans(
        make_observation,
        ("t1", "a", "", "x", 0, 100),
        ("t1", "b", "a", "y", 10, 50),
        ("t2", "b", "a", "y", 10, 50),  # its parent is in another trace
        ("t2", "c", "c", "y", 10, 50),  # its own parent
    )
    assert found.parent.tolist() == [-1, 0, -1, -1]
    assert found.parent_service.tolist() == [-1, 0, -1, -1]
    assert found.remote.tolist() == [-1, -1, -1, -1]  # x works itself: it has no span for the call
    assert found.operations == ("x_op", "y_op")


def test_a_call_is_a_span_of_its_own_within_the_caller(make_observation):
    found = spans(
        make_observation,
        ("t", "a", "", "x", 0, 100),
        ("t", "b", "a", "x", 10, 80),
        ("t", "c", "b", "y", 20, 60),
    )
    assert found.remote.tolist() == [-1, 1, -1]


@pytest.mark.parametrize(
    ("children", "own"),
    [
        ([(10, 50)], 50),
        ([(10, 50), (60, 20)], 30),  # one after the other
        ([(10, 50), (30, 50)], 30),  # overlapping
        ([(10, 50), (20, 10)], 50),  # one within the other
        ([(-40, 50)], 50),  # begins earlier, by a clock that differs
        ([(90, 50)], 50),  # ends later
        ([(0, 500)], 0),  # lasts longer: was not waited for
        ([(70, 500)], 70),
        ([], 100),
    ],
)
def test_self_time_is_what_no_child_covers(make_observation, children, own):
    rows = [("t", "a", "", "x", 0, 100)]
    rows += [("t", f"b{n}", "a", "y", *child) for n, child in enumerate(children)]
    assert spans(make_observation, *rows).self_us[0] == own


def brute_self_time(table):
    """By marking every microsecond; children placed as documented."""
    rows = {row.spanID: row for row in table.itertuples()}
    children = {name: [row for row in rows.values() if row.parentSpanID == name] for name in rows}

    def begin_of(child, room):
        return min(max(child.startTime - rows[child.parentSpanID].startTime, 0), room)

    def extent(row):
        ends = [
            begin_of(child, row.duration) + extent(child)
            for child in children[row.spanID]
            if extent(child) > row.duration
        ]
        return max([row.duration, *ends])

    own = {}
    for name, row in rows.items():
        running = np.zeros(row.duration, dtype=bool)
        for child in children[name]:
            length = extent(child)
            fits = length <= row.duration
            begin = begin_of(child, row.duration - length if fits else row.duration)
            running[begin : begin + length] = True
        own[name] = int((~running).sum())
    return own


def test_a_call_that_was_not_waited_for_is_covered_for_the_grandparent(make_observation):
    """The proxy waits for the replica, though the span that called it ended long before."""
    found = spans(
        make_observation,
        ("t", "a", "", "head", 0, 300),
        ("t", "b", "a", "head", 5, 20),
        ("t", "c", "b", "replica", 20, 270),
    )
    assert found.self_us.tolist() == [15, 15, 270]
    assert found.outlasted.tolist() == [False, True, False]
    assert [found.services[code] for code in found.remote[:2]] == ["replica", "replica"]


@pytest.mark.parametrize("seed", range(5))
def test_self_time_of_random_trees(make_observation, seed):
    rng = np.random.default_rng(seed)
    rows = [
        ("t", f"{n:02}", f"{rng.integers(0, n):02}" if n else "", "x",
         int(rng.integers(-50, 300)), int(rng.integers(0, 300)))
        for n in range(40)
    ]  # fmt: skip
    table = typed_table(
        [(t, s, p, v, "m", "op", START + b, d, 200) for t, s, p, v, b, d in rows], TRACE_COLUMNS
    )
    expected = brute_self_time(table)
    found = spans_of(make_observation(traces=table.sample(frac=1, random_state=seed)
                                      .reset_index(drop=True)))  # fmt: skip
    assert found.self_us.tolist() == [expected[f"{n:02}"] for n in range(40)]


def test_the_order_of_rows_and_repeats_play_no_part(make_observation, make_traces):
    table = make_traces(culprit="ray-head")
    doubled = typed_table(
        [*table.itertuples(index=False), *table[::-1].itertuples(index=False)], TRACE_COLUMNS
    )
    first = spans_of(make_observation(traces=table))
    second = spans_of(make_observation(traces=doubled))
    for name in ("trace", "service", "operation", "parent", "self_us", "failed", "late"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.failed.any()
    assert first.traces == 60
    assert 0 < first.late.mean() < 0.5


def test_no_traces_are_no_spans(make_observation):
    found = spans_of(make_observation())
    assert len(found) == 0
    assert found.remote.size == 0
    assert found.operations == ()


def test_without_an_inject_time_nothing_is_late(make_observation, make_traces):
    assert not spans_of(make_observation(traces=make_traces(), inject_time_ns=None)).late.any()
