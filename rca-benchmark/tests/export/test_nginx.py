import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Window
from rca_benchmark.export.nginx import METRICS, SLI, AccessLog, _Request, derive_metrics

BASE = 1_795_417_200
WINDOW = Window(BASE * SECOND_NS, (BASE + 60) * SECOND_NS)


def record(at, **changes):
    return {
        "time": "2026-11-23T07:00:00+00:00",
        "msec": f"{BASE + at:.3f}",
        "status": 200,
        "request_time": "0.250",
        "upstream_response_time": "0.249",
        "upstream_addr": "127.0.0.1:8000",
        "trace_id": "AB" * 16,
        "span_id": "CD" * 8,
        "parent_span_id": "",
        "method": "POST",
        "uri": "/v1/completions?x=1",
        "bytes_sent": 10,
    } | changes


@pytest.fixture
def fetch(tmp_path, no_tick):
    def run(*records, end="\n"):
        folder = tmp_path / "logs" / "nginx-proxy"
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(item if isinstance(item, str) else json.dumps(item) for item in records)
        (folder / "access.json").write_text(text + end)
        return AccessLog(tmp_path / "logs").fetch(WINDOW, no_tick)

    return run


def test_a_line_becomes_a_record_and_a_span(fetch):
    telemetry = fetch(record(12.5))
    [log] = telemetry.logs.to_dict("records")
    assert log["time"] == BASE * SECOND_NS + 12_500_000_000
    assert (log["service"], log["level"]) == ("nginx-proxy", "INFO")
    assert log["message"].startswith("POST /v1/completions?x=1 200 request_time=0.250")
    assert log["source"] == "nginx-proxy/access.json"
    [span] = telemetry.traces.to_dict("records")
    assert span == {
        "traceID": "ab" * 16,
        "spanID": "cd" * 8,
        "parentSpanID": "",
        "serviceName": "nginx-proxy",
        "methodName": "POST /v1/completions",
        "operationName": "/v1/completions",
        "startTime": BASE * 1_000_000 + 12_250_000,
        "duration": 250_000,
        "statusCode": 200,
    }


def test_a_request_without_a_trace_is_counted(fetch):
    telemetry = fetch(record(1, trace_id="-"), record(2), record(-10))
    assert len(telemetry.traces) == 1
    assert telemetry.counts["nginx_requests"] == 2
    assert telemetry.counts["nginx_requests_without_trace"] == 1


def test_time_is_used_where_milliseconds_are_not_logged(fetch):
    line = record(0, time="2026-11-23T07:00:07Z")
    del line["msec"]
    assert fetch(line).logs["time"].tolist() == [(BASE + 7) * SECOND_NS]


@pytest.mark.parametrize(("status", "level"), [(200, "INFO"), (404, "WARNING"), (499, "ERROR")])
def test_levels_follow_the_status(fetch, status, level):
    assert fetch(record(1, status=status)).logs["level"].tolist() == [level]


def test_indicators_look_back_five_seconds(fetch):
    metrics = fetch(
        record(10, request_time=1), record(10.5, request_time=3, status=502)
    ).metrics.set_axis(range(61))
    latency = metrics[SLI]
    assert np.flatnonzero(latency.notna()).tolist() == [10, 11, 12, 13, 14, 15]
    assert latency[10] == 1
    assert latency[11] == pytest.approx(2.8)
    assert metrics["nginx-proxy_latency-50"][12] == 2
    assert metrics["nginx-proxy_workload"][[9, 10, 11, 15, 16]].tolist() == [0, 0.2, 0.4, 0.2, 0]
    assert metrics["nginx-proxy_error"][[10, 11, 15, 16]].tolist() == [0, 0.2, 0.2, 0]


def test_requests_before_the_window_count_for_its_first_steps(fetch):
    assert fetch(record(-2)).metrics["nginx-proxy_workload"].iloc[0] == 0.2


@given(
    st.lists(
        st.tuples(
            st.integers(-7000, 62_000), st.integers(0, 9000), st.sampled_from([200, 499, 503])
        ),
        max_size=40,
    )
)
def test_indicators_equal_a_plain_count(requests):
    parsed = [
        _Request(BASE * SECOND_NS + at * 1_000_000, took / 1000, status, {}, "")
        for at, took, status in requests
    ]
    metrics = derive_metrics(parsed, WINDOW)
    for time, row in metrics.iterrows():
        inside = [part for part in parsed if time - 5 * SECOND_NS < part.end_ns <= time]
        assert row["nginx-proxy_workload"] == len(inside) / 5
        assert row["nginx-proxy_error"] == sum(part.status >= 499 for part in inside) / 5
        if inside:
            expected = np.quantile([part.seconds for part in inside], 0.99)
            assert row["nginx-proxy_latency-99"] == pytest.approx(expected)
        else:
            assert np.isnan(row["nginx-proxy_latency-99"])


@pytest.mark.parametrize("root", [None, "empty"])
def test_without_a_log_all_indicators_are_absent(tmp_path, no_tick, root):
    if root:
        (tmp_path / "empty").mkdir()
    telemetry = AccessLog(tmp_path / root if root else None).fetch(WINDOW, no_tick)
    assert list(telemetry.metrics) == [f"nginx-proxy_{name}" for name in METRICS]
    assert telemetry.metrics.isna().all(axis=None)
    assert set(telemetry.received.values()) == {0}


def test_a_last_line_still_being_written_is_counted(fetch):
    telemetry = fetch(record(1), json.dumps(record(2))[:30], end="")
    assert (telemetry.counts["nginx_lines_cut"], len(telemetry.logs)) == (1, 1)


@pytest.mark.parametrize("line", ["{]", "[]", '{"msec": "1"}', json.dumps(record(1, status="?"))])
def test_a_bad_line_is_named(fetch, line):
    with pytest.raises(ExportError, match=r"access\.json: line 2 is not an access record"):
        fetch(record(1), line)
