import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.dataset.derived import log_series, span_series, write_series

SECOND = 10**9


@pytest.fixture
def observation(make_observation):
    base = make_observation(before=8, after=4)
    start = int(base.metrics["time"].iloc[0])
    logs = [(start + second * SECOND, service, "", "", "") for second, service in
            ((0, "b"), (1, "a"), (4, "a"), (5, "a"), (11, "b"), (99, "a"))]  # fmt: skip
    spans = [
        ("t", str(number), "", "a", "go", "", start // 1000 + second * 1_000_000, duration, status)
        for number, (second, duration, status) in enumerate(
            [(0, 100, 200), (4, 300, 500), (10, 50, 0), (11, 70, 2), (-1, 9, 500)]
        )
    ]
    tables = {"logs": typed_table(logs, LOG_COLUMNS), "traces": typed_table(spans, TRACE_COLUMNS)}
    return make_observation(before=8, after=4, **tables)


def test_lines_are_counted_per_five_seconds(observation):
    table = log_series(observation)
    start = observation.metrics["time"].iloc[0] // SECOND
    assert table["time"].tolist() == [start, start + 5, start + 10]
    assert table["a"].tolist() == [2, 1, 0]
    assert table["b"].tolist() == [1, 0, 1]


def test_latency_is_a_latency_and_errors_are_counted(observation):
    latency, errors = span_series(observation)
    assert latency["a_go"].tolist()[::2] == [200, 60]
    assert pd.isna(latency["a_go"][1])
    assert errors["a_go"].tolist() == [1, 0, 1]


def test_only_tables_with_a_source_are_written(make_observation, observation, tmp_path):
    write_series(tmp_path, make_observation())
    assert not list(tmp_path.iterdir())
    write_series(tmp_path, observation)
    names = {"logts.csv", "tracets_err.csv", "tracets_lat.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
