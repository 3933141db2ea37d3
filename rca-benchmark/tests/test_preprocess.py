import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import BenchError, MethodFailed
from rca_benchmark.preprocess import (
    Preparation,
    log_counts,
    prepare,
    shared,
    span_counts,
    span_latency,
    split_windows,
    without_inject_time,
)

NAN, INF = np.nan, np.inf


def windows_of(make_observation, columns, before, **options):
    return split_windows(make_observation(pd.DataFrame(columns), before=before), **options)


def test_rows_are_cut_at_the_inject_time(make_observation):
    windows = windows_of(make_observation, {"a_x": [1.0, 2.0, 3.0, 4.0]}, before=3)
    assert windows.normal["a_x"].tolist() == [1, 2, 3]
    assert windows.anomalous["a_x"].tolist() == [4]


def test_only_what_is_constant_over_both_windows_is_left_out(make_observation):
    columns = {"a_flat": [1.0] * 4, "a_step": [1.0, 1.0, 9.0, 9.0]}
    windows = windows_of(make_observation, columns, before=2)
    assert windows.constant == ("a_flat",)
    assert list(windows.normal) == ["a_step"]


def test_infinite_values_are_gaps(make_observation):
    windows = windows_of(make_observation, {"a_x": [1.0, INF, 2.0, -INF]}, before=2)
    assert windows.normal["a_x"].isna().tolist() == [False, True]


def test_an_indicator_without_values_in_a_window_is_left_out(make_observation):
    columns = {"a_x": [NAN, NAN, 1.0, 2.0], "b_x": [1.0, 2.0, 3.0, 4.0]}
    assert windows_of(make_observation, columns, before=2).empty == ("a_x",)


def test_nothing_left_is_a_failure(make_observation):
    with pytest.raises(MethodFailed, match="no indicator"):
        windows_of(make_observation, {"a_x": [1.0, 1.0]}, before=1)


def test_no_inject_time_is_a_failure(make_observation):
    with pytest.raises(MethodFailed, match="no inject time"):
        split_windows(make_observation(inject_time_ns=None))


def prepared_of(make_observation, columns, before, **settings):
    return prepare(make_observation(pd.DataFrame(columns), before=before), Preparation(**settings))


def test_length_keeps_the_rows_next_to_the_inject_time(make_observation):
    columns = {"a_x": [float(value) for value in range(10)]}
    found = prepared_of(make_observation, columns, 6, length=2).observation
    assert found.metrics["a_x"].tolist() == [4, 5, 6, 7]
    assert split_windows(found).anomalous["a_x"].tolist() == [6, 7]


def test_the_delay_moves_the_told_inject_time_and_the_window(make_observation):
    columns = {"a_x": [float(value) for value in range(10)]}
    found = prepared_of(make_observation, columns, 4, length=2, tdelta=2.0).observation
    assert split_windows(found).normal["a_x"].tolist() == [4, 5]
    with pytest.raises(BenchError, match="6 s leaves no row after it: metrics end 5 s"):
        prepared_of(make_observation, columns, 4, tdelta=6.0)


def test_gaps_are_filled_forwards_up_to_the_limit_and_counted(make_observation):
    columns = {"a_x": [1.0, NAN, NAN, NAN, 5.0, INF], "b_x": [NAN, 1.0, 2.0, 3.0, 4.0, 5.0]}
    found = prepared_of(make_observation, columns, 4, fill_limit=2)
    assert found.observation.metrics["a_x"].tolist()[:3] == [1, 1, 1]
    assert found.observation.metrics["a_x"].isna().tolist() == [False] * 3 + [True, False, False]
    assert found.observation.metrics["b_x"].isna().sum() == 1  # never filled backwards
    assert (found.filled, found.infinite, found.gap_share) == (3, 1, 5 / 12)
    kept = prepared_of(make_observation, columns, 4, fill_limit=0)
    assert (kept.filled, kept.gap_share) == (0, 5 / 12)


def test_what_is_constant_is_emptied_but_can_still_be_named(make_observation):
    columns = {"a_flat": [1.0] * 10, "a_rare": [1.0] * 9 + [2.0], "a_x": [1.0, 2.0] * 5}
    strict, loose = (
        prepared_of(make_observation, columns, 5, near_constant=share) for share in (0, 0.1)
    )
    assert strict.constant == ("a_flat",)
    assert loose.constant == ("a_flat", "a_rare")
    assert loose.observation.indicators == ["a_flat", "a_rare", "a_x"]
    assert loose.observation.metrics["a_rare"].isna().all()


def test_the_input_is_not_changed_and_the_output_cannot_be(make_observation):
    observation = make_observation(pd.DataFrame({"a_x": [1.0, NAN, INF, 3.0]}), before=2)
    kept = observation.metrics.copy()
    found = prepare(observation, Preparation()).observation
    pd.testing.assert_frame_equal(observation.metrics, kept)
    with pytest.raises(ValueError, match="read-only"):
        found.metrics["a_x"].to_numpy()[0] = 9.0


def test_shared_values_are_computed_once_per_prepared_observation(make_observation):
    raw = make_observation()
    found = prepare(raw, Preparation()).observation
    assert split_windows(found) is split_windows(found)
    assert split_windows(raw) is not split_windows(raw)
    assert shared(found, "key", lambda: 1) == shared(found, "key", lambda: 2) == 1
    assert shared(without_inject_time(found), "key", lambda: 2) == 2


def test_logs_and_spans_are_counted_per_step(make_observation):
    start = int(make_observation().metrics["time"].iloc[0])
    second = 10**9
    lines = [
        (start + step * second // 2, "ray-head", level, "m", "f")
        for step, level in ((0, "INFO"), (1, "error"), (4, "ERROR"), (500, "INFO"))
    ]
    spans = [
        ("t", str(n), "", "ray-head", "get", "get", start // 1000 + n * 500_000, 1000 * n, status)
        for n, status in ((0, 200), (1, 500), (4, 2))
    ]
    raw = make_observation(
        logs=typed_table(lines, LOG_COLUMNS), traces=typed_table(spans, TRACE_COLUMNS)
    )
    found = prepare(raw, Preparation()).observation
    assert len(found.logs) == 3  # the last line lies outside the window
    assert list(log_counts(found).columns) == list(found.services)
    assert log_counts(found)["ray-head"].tolist()[:4] == [2, 0, 1, 0]
    assert log_counts(found, level="error")["ray-head"].sum() == 2
    assert span_counts(found)["ray-head"].tolist()[:4] == [2, 0, 1, 0]
    assert span_counts(found, failed_only=True)["ray-head"].tolist()[:4] == [1, 0, 1, 0]
    latency = span_latency(found, quantile=0.5)
    assert latency["ray-head"].iloc[[0, 2]].tolist() == pytest.approx([0.0005, 0.004])
    assert latency["ray-head"].isna().sum() == len(latency) - 2
    assert latency["nginx-proxy"].isna().all()


def test_counts_without_logs_and_spans_are_zero(make_observation):
    found = prepare(make_observation(), Preparation()).observation
    assert log_counts(found).to_numpy().sum() == span_counts(found).to_numpy().sum() == 0
    assert span_latency(found).isna().all(axis=None)


@pytest.mark.parametrize("settings", [{"tdelta": -1.0}, {"length": 0}, {"near_constant": 1.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"out of range|is none"):
        Preparation(**settings)
