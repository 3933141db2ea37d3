from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llm_benchmark.records import to_batch
from llm_benchmark.spans import SpanWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llm_benchmark.records import Record

PATH = "/v1/chat/completions"


def test_spans_are_otlp_json_lines(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    path = tmp_path / "spans.jsonl"
    writer = SpanWriter(path, PATH)
    writer.add(to_batch([make_record(sent_ns=1_000, end_ns=1_800_000_000_123_456_789, status=200)]))
    writer.finish()
    [line] = path.read_text().splitlines()
    [resource_spans] = json.loads(line)["resourceSpans"]
    assert resource_spans["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "load-generator"}}
    ]
    [scope_spans] = resource_spans["scopeSpans"]
    assert scope_spans["scope"]["name"] == "llm-benchmark"
    assert scope_spans["spans"] == [
        {
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": "b7ad6b7169203331",
            "parentSpanId": "",
            "name": "POST /v1/chat/completions",
            "kind": 3,
            "startTimeUnixNano": "1000",
            "endTimeUnixNano": "1800000000123456789",
            "attributes": [
                {"key": "http.request.method", "value": {"stringValue": "POST"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": "stub"}},
                {"key": "http.response.status_code", "value": {"intValue": "200"}},
            ],
            "status": {},
        }
    ]


def test_a_failure_is_an_error_span(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    path = tmp_path / "spans.jsonl"
    writer = SpanWriter(path, PATH)
    writer.add(
        to_batch([make_record(sent_ns=1, end_ns=2, error_class="timeout", error="too slow")])
    )
    writer.finish()
    span = json.loads(path.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert span["status"] == {"code": 2, "message": "too slow"}
    assert {"key": "error.type", "value": {"stringValue": "timeout"}} in span["attributes"]


def test_each_flush_is_a_line_and_the_file_appears_when_complete(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    path = tmp_path / "spans.jsonl"
    writer = SpanWriter(path, PATH)
    for _ in range(3):
        writer.add(to_batch([make_record(sent_ns=1, end_ns=2)]))
        writer.flush()
        writer.flush()
    assert not path.exists()
    writer.finish()
    assert len(path.read_text().splitlines()) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["spans.jsonl"]
