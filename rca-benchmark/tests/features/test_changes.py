"""Shifts of indicators, excess of spans, failures, changes of log templates."""

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.features.log_changes import log_changes
from rca_benchmark.features.operations import operation_latency
from rca_benchmark.features.shifts import shifts
from rca_benchmark.features.span_excess import failures, span_excess

SECOND = 1_000_000_000


def start_of(observation):
    return int(observation.metrics["time"].iloc[0])


def test_a_shift_is_in_units_of_the_noise_before(make_observation):
    # Median 3, absolute deviations 2 1 0 1 2: MAD 1; (10 - 3) / 1.4826.
    metrics = pd.DataFrame({"a_x": [1.0, 2, 3, 4, 5, 10, 10], "a_y": [5.0, 5, 5, 5, 5, 5, 1]})
    table = shifts(make_observation(metrics, before=5, services=("a",)))
    row = table.loc["a_x"]
    assert (row["service"], row["metric"]) == ("a", "x")
    assert row[["before", "after"]].tolist() == [3.0, 10.0]
    assert row["score"] == pytest.approx(7 / 1.4826)
    assert row["change"] == pytest.approx(0.7)


def test_a_series_that_rests_does_not_score_without_bound(make_observation):
    metrics = pd.DataFrame({"a_x": [5.0] * 5 + [6.0, 6.0], "a_y": [0.0] * 5 + [1.0, 1.0]})
    table = shifts(make_observation(metrics, before=5, services=("a",)))
    assert table["score"].tolist() == pytest.approx([1 / 0.006, 1 / 0.001])


def spans(make_observation, rows, **changes):
    """Rows of (second, span, parent, service, duration in ms[, status])."""
    base = start_of(make_observation()) // 1000
    table = [
        (f"t{second}", span, parent, service, "m", "op", base + second * 10**6,
         duration * 1000, *(status or (200,)))
        for second, span, parent, service, duration, *status in rows
    ]  # fmt: skip
    return make_observation(traces=typed_table(table, TRACE_COLUMNS), **changes)


def test_excess_is_what_no_normal_span_took(make_observation):
    rows = [(second, "a", "", "x", 10 + second % 3) for second in range(40)]
    rows += [(45, "a", "", "x", 11), (46, "a", "", "x", 112), (47, "a", "", "x", 22)]
    (row,) = span_excess(spans(make_observation, rows)).itertuples(index=False)
    assert (row.service, row.callee, row.spans) == ("x", "", 2)
    assert row.seconds == pytest.approx(0.11)
    assert row.share == pytest.approx(110 / (11 + 112 + 22))


def test_time_on_the_way_is_told_from_work(make_observation):
    """The caller's span grows, the callee's does not: the time is lost between them."""
    rows = []
    for second in range(60):
        slow = 200 if second >= 40 else 0
        rows += [(second, "root", "", "x", 40 + slow), (second, "a", "root", "x", 30 + slow)]
        rows += [(second, "b", "a", "y", 10)]
    (row,) = span_excess(spans(make_observation, rows)).itertuples(index=False)
    assert (row.service, row.callee) == ("x", "y")
    assert row.seconds == pytest.approx(20 * 0.2)


def test_an_operation_that_is_hardly_known_has_no_excess(make_observation):
    rows = [(second, "a", "", "x", 10) for second in range(4)] + [(50, "a", "", "x", 900)]
    assert span_excess(spans(make_observation, rows)).empty


def test_failures_begin_where_no_callee_failed(make_observation):
    rows = []
    for second in range(60):
        status = 500 if second >= 50 else 200
        rows += [(second, "a", "", "x", 30, status), (second, "b", "a", "y", 10, status)]
    (row,) = failures(spans(make_observation, rows)).itertuples(index=False)
    assert (row.service, row.before, row.after, row.spans) == ("y", 0.0, 0.5, 10)


def test_no_traces_have_neither_excess_nor_failures(make_observation):
    assert span_excess(make_observation()).empty
    assert failures(make_observation()).empty
    assert operation_latency(make_observation()).shape == (60, 0)


def test_latency_per_operation_and_step(make_observation):
    rows = [(1, "a", "", "x", 10), (3, "b", "", "x", 20), (3, "c", "", "x", 40)]
    table = operation_latency(spans(make_observation, rows, services=("x", "nginx-proxy")))
    assert list(table.columns) == ["x_op"]
    assert table["x_op"].dropna().to_dict() == {1: 0.01, 3: 0.03}


def lines(make_observation, *groups):
    """Groups of (service, text, lines before, lines after)."""
    base = start_of(make_observation())
    table = [
        (base + (second % 40 + (40 if late else 0) * 1) * SECOND, service, "INFO", text, "f")
        for service, text, before, after in groups
        for late, count in ((False, before), (True, after))
        for second in range(count)
    ]
    late_ok = [row for row in table if row[0] < base + 60 * SECOND]
    assert len(late_ok) == len(table)
    return make_observation(logs=typed_table(table, LOG_COLUMNS))


def test_a_busier_service_writes_more_of_everything(make_observation):
    table = log_changes(
        lines(make_observation, ("x", "alpha beta", 8, 16), ("x", "gamma delta eps", 8, 16))
    )
    assert table["expected"].tolist() == pytest.approx([8 * 33 / 17] * 2)
    assert (table["deviance"].abs() < 0.1).all()


def test_a_template_that_vanishes_is_told_from_a_quiet_service(make_observation):
    table = log_changes(
        lines(
            make_observation,
            ("x", "alpha beta", 18, 18),
            ("x", "gamma delta eps", 18, 0),
            ("y", "zeta eta", 18, 0),
        )
    ).set_index("template")
    gone, quiet = table.loc["gamma delta eps"], table.loc["zeta eta"]
    assert gone["expected"] == pytest.approx(18 * 19 / 37)
    assert gone["deviance"] == pytest.approx(-2 * 18 * 19 / 37)
    assert quiet["deviance"] > -2 < 0
    assert abs(quiet["deviance"]) < abs(gone["deviance"]) / 5


def test_a_new_template_deviates_by_its_likelihood_ratio(make_observation):
    table = log_changes(lines(make_observation, ("x", "alpha beta", 0, 10)))
    (row,) = table.itertuples(index=False)
    assert row.expected == 0.5
    assert row.deviance == pytest.approx(2 * (10 * np.log(20) - 9.5))
