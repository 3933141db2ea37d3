import json

import pytest

from rca_benchmark.errors import ExportError
from rca_benchmark.export.otlp import OtlpFiles
from rca_benchmark.export.placement import Placement

BASE_NS = 1_795_417_200_000_000_000


def attribute(key, value):
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value)}}


def span(start=BASE_NS + 5_000, **changes):
    return {
        "traceId": "AB" * 16,
        "spanId": "cd" * 8,
        "name": "llm_request",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 2_500_000),
        "attributes": [],
        "status": {},
    } | changes


def line(*spans, service="ray-head"):
    resource = {"attributes": [attribute("service.name", service)]} if service else {}
    scope = {"scope": {"name": "x"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}) + "\n"


@pytest.fixture
def fetch(tmp_path, window, no_tick):
    def run(*texts):
        paths = []
        for number, text in enumerate(texts):
            paths.append(tmp_path / f"traces-{number}.jsonl")
            paths[-1].write_text(text)
        return OtlpFiles(tuple(paths)).fetch(window, no_tick)

    return run


def test_a_span_becomes_a_row(fetch):
    http = [attribute("http.route", "/v1/completions"), attribute("http.status_code", 503)]
    child = span(parentSpanId="EF" * 8, attributes=http)
    [row] = fetch(line(child)).traces.to_dict("records")
    assert row == {
        "traceID": "ab" * 16,
        "spanID": "cd" * 8,
        "parentSpanID": "ef" * 8,
        "serviceName": "ray-head",
        "methodName": "llm_request",
        "operationName": "/v1/completions",
        "startTime": BASE_NS // 1000 + 5,
        "duration": 2500,
        "statusCode": 503,
    }


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"status": {"code": 2}}, 2),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, 2),
        ({"attributes": [attribute("http.response.status_code", 200)]}, 200),
    ],
)
def test_status_is_http_else_otlp(fetch, changes, status):
    assert fetch(line(span(**changes))).traces["statusCode"].tolist() == [status]


def test_a_root_span_has_an_empty_parent_and_its_name_as_operation(fetch):
    [row] = fetch(line(span())).traces.to_dict("records")
    assert (row["parentSpanID"], row["operationName"]) == ("", "llm_request")


def test_only_spans_that_start_in_the_window_are_kept(fetch, window):
    text = line(span(window.start_ns - 1), span(window.start_ns), span(window.end_ns + 1))
    assert len(fetch(text).traces) == 1


def test_several_files_and_services(fetch):
    traces = fetch(line(span()), line(span(), service="vllm") + line(span())).traces
    assert traces["serviceName"].tolist() == ["ray-head", "vllm", "ray-head"]


def test_a_last_line_still_being_written_is_counted(fetch):
    telemetry = fetch(line(span()) + line(span())[:40])
    assert telemetry.counts == {"otlp_spans": 1, "otlp_records": 0, "otlp_lines_cut": 1}


def log_line(body, **changes):
    record = {"timeUnixNano": str(BASE_NS + 7), "severityText": "Warn", "body": body} | changes
    pod = {"attributes": [attribute("k8s.pod.name", "head-x1")]}
    scopes = [{"logRecords": [record]}]
    return json.dumps({"resourceLogs": [{"resource": pod, "scopeLogs": scopes}]}) + "\n"


def test_log_records_are_read_and_their_pod_leads_to_the_service(tmp_path, window, no_tick):
    path = tmp_path / "logs.jsonl"
    path.write_text(
        log_line({"stringValue": "hello"})
        + log_line({"intValue": "3"}, timeUnixNano=0, observedTimeUnixNano=str(BASE_NS + 8))
        + log_line({"stringValue": "late"}, timeUnixNano=str(BASE_NS * 2))
    )
    placement = Placement({"ray-head": {"node": "n", "pod": "head-x1"}})
    logs = OtlpFiles((path,), placement).fetch(window, no_tick).logs
    assert logs.to_numpy().tolist() == [
        [BASE_NS + 7, "ray-head", "WARNING", "hello", "logs.jsonl"],
        [BASE_NS + 8, "ray-head", "WARNING", '{"intValue":"3"}', "logs.jsonl"],
    ]


def test_metrics_in_the_file_are_passed_over(fetch):
    telemetry = fetch('{"resourceMetrics": []}\n' + line(span()))
    assert telemetry.counts["otlp_spans"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "{]\n",
        "[]\n",
        '{"resources": []}\n',
        line(span(), service=None),
        line({"name": "x"}),
        line(span(startTimeUnixNano="soon")),
    ],
)
def test_a_bad_line_is_named(fetch, text):
    with pytest.raises(ExportError, match=r"traces-0\.jsonl: line 2 is not OTLP JSON"):
        fetch(line(span()) + text)


def test_a_missing_file_is_named(tmp_path, window, no_tick):
    with pytest.raises(ExportError, match=r"none\.jsonl: cannot be read"):
        OtlpFiles((tmp_path / "none.jsonl",)).fetch(window, no_tick)
