"""The client's side of every request as OpenTelemetry spans.

One ExportTraceServiceRequest per line in the OTLP JSON encoding, as the OpenTelemetry collector's
file exporter writes it: https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/. Ids are
those of the record and of the request's ``traceparent``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_benchmark import VERSION
from llm_benchmark.files import partial_path

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

COLUMNS = ["trace_id", "span_id", "model", "sent_ns", "end_ns", "status", "error_class", "error"]
SERVICE = "load-generator"
KIND_CLIENT = 3
STATUS_ERROR = 2


class SpanWriter:
    """Writes spans while the run lasts: a line per flush, under a temporary name until the end."""

    def __init__(self, path: Path, request_path: str) -> None:
        self._path = path
        self._partial = partial_path(path)
        self._name = f"POST {request_path}"
        self._waiting: list[dict[str, Any]] = []
        self._file = self._partial.open("w", encoding="utf-8")

    def add(self, records: pa.RecordBatch) -> None:
        """Take finished records; their spans are written at the next ``flush``."""
        self._waiting += records.select(COLUMNS).to_pylist()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: The file cannot be written.
        """
        if self._waiting:
            spans = [span(record, self._name) for record in self._waiting]
            self._waiting = []
            self._file.write(json.dumps(export_request(spans), separators=(",", ":")) + "\n")
            self._file.flush()

    def finish(self) -> None:
        """Write the last spans and put the complete file in place.

        Raises:
            OSError: The file cannot be written.
        """
        self.flush()
        self._file.close()
        self._partial.replace(self._path)


def export_request(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one ExportTraceServiceRequest that carries the spans."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [_attribute("service.name", SERVICE)]},
                "scopeSpans": [
                    {"scope": {"name": "llm-benchmark", "version": VERSION}, "spans": spans}
                ],
            }
        ]
    }


def span(record: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the span of one finished request, from sending to the end of its answer.

    Args:
        record: The record's ``COLUMNS``.
        name: The span's name.
    """
    attributes = [
        _attribute("http.request.method", "POST"),
        _attribute("gen_ai.request.model", record["model"]),
    ]
    if record["status"] is not None:
        attributes.append(_attribute("http.response.status_code", record["status"]))
    status: dict[str, Any] = {}
    if record["error_class"]:
        attributes.append(_attribute("error.type", record["error_class"]))
        status = {"message": record["error"], "code": STATUS_ERROR}
    return {
        "traceId": record["trace_id"],
        "spanId": record["span_id"],
        "parentSpanId": "",
        "name": name,
        "kind": KIND_CLIENT,
        "startTimeUnixNano": str(record["sent_ns"]),
        "endTimeUnixNano": str(record["end_ns"]),
        "attributes": attributes,
        "status": status,
    }


def _attribute(key: str, value: str | int) -> dict[str, Any]:
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": value}}
