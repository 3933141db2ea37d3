"""Traces and logs from OTLP JSON lines, as the OpenTelemetry collector's file exporter writes them.

Format: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"; each line is one
ExportTraceServiceRequest, ExportLogsServiceRequest or ExportMetricsServiceRequest. Metrics are not
read: they come from Prometheus.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import Plan, Telemetry, Tick, Window
from rca_benchmark.export.loglines import standard_level
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HTTP_STATUS: Final = ("http.response.status_code", "http.status_code")
_OPERATION: Final = ("http.route", "url.path", "http.target", "rpc.method")
_OTLP_STATUS: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_KINDS: Final = ("resourceSpans", "resourceLogs", "resourceMetrics")


@dataclass(frozen=True)
class OtlpFiles:
    """Files of OTLP JSON lines.

    Attributes:
        paths: the files.
        placement: leads from pods to services where a resource names only its pod.
    """

    paths: tuple[Path, ...]
    placement: Placement = field(default_factory=Placement)

    name = "otlp"

    @property
    def steps(self) -> int:
        """One per file."""
        return len(self.paths)

    def plan(self, window: Window) -> Plan:
        """Every file."""
        return [(str(path), f"spans and records of {window}") for path in self.paths]

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All spans that start, and all log records, inside the window.

        ``statusCode`` is the HTTP status where the span has one, else OTLP's own (0 unset, 1 ok,
        2 error). A last line that is still being written is left out and counted.

        Raises:
            ExportError: a file cannot be read, or a line is not OTLP JSON.
        """
        spans, records, cut = Rows(TRACE_COLUMNS), Rows(LOG_COLUMNS), 0
        for path in self.paths:
            for number, line in enumerate(_lines(path), start=1):
                try:
                    request = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    if line.endswith(b"\n"):
                        raise _unusable(path, number, error) from error
                    cut += 1
                    continue
                try:
                    self._read(request, window, path.name, spans, records)
                except (ValueError, LookupError, TypeError, AttributeError) as error:
                    raise _unusable(path, number, error) from error
            tick(f"otlp: {path.name}")
        counts = {"otlp_spans": len(spans), "otlp_records": len(records), "otlp_lines_cut": cut}
        return Telemetry(traces=spans.table(), logs=records.table(), counts=counts)

    def _read(
        self, request: dict[str, Any], window: Window, source: str, spans: Rows, records: Rows
    ) -> None:
        if not any(kind in request for kind in _KINDS):
            raise ValueError(f"has none of {', '.join(_KINDS)}")
        for part in request.get("resourceSpans", ()):
            service = self._service(part)
            for scope in part.get("scopeSpans", ()):
                spans.extend(
                    _span_row(service, span)
                    for span in scope.get("spans", ())
                    if window.holds(int(span["startTimeUnixNano"]))
                )
        for part in request.get("resourceLogs", ()):
            service = self._service(part)
            for scope in part.get("scopeLogs", ()):
                for record in scope.get("logRecords", ()):
                    time = int(record.get("timeUnixNano") or record["observedTimeUnixNano"])
                    if window.holds(time):
                        records.append(_log_row(service, record, time, source))

    def _service(self, part: dict[str, Any]) -> str:
        """The service of a resource: by its name where that is one, else by its pod."""
        resource = _attributes(part.get("resource", {}))
        name = resource.get("service.name")
        if self.placement and name not in self.placement.services:
            pod = resource.get("k8s.pod.name", "")
            container = resource.get("k8s.container.name", "")
            name = self.placement.owner("pod", pod) or (
                container if container in self.placement.services else name
            )
        if not name:
            raise ValueError("a resource has no attribute service.name")
        return str(name)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error


def _unusable(path: Path, number: int, error: Exception) -> ExportError:
    return ExportError(f"{path}: line {number} is not OTLP JSON: {error!r}")


def _span_row(service: str, span: dict[str, Any]) -> tuple[Any, ...]:
    attributes = _attributes(span)
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    name = span["name"]
    return (
        span["traceId"].lower(),
        span["spanId"].lower(),
        span.get("parentSpanId", "").lower(),
        service,
        name,
        next((attributes[key] for key in _OPERATION if attributes.get(key)), name),
        start // 1000,
        (end - start) // 1000,
        _status(span, attributes),
    )


def _log_row(service: str, record: dict[str, Any], time: int, source: str) -> tuple[Any, ...]:
    body = record.get("body", {})
    text = body.get("stringValue")
    message = text if text is not None else orjson.dumps(body).decode()
    return (time, service, standard_level(record.get("severityText", "")), message, source)


def _status(span: dict[str, Any], attributes: dict[str, Any]) -> int:
    for key in _HTTP_STATUS:
        if key in attributes:
            return int(attributes[key])
    code = span.get("status", {}).get("code", 0)
    return _OTLP_STATUS[code] if isinstance(code, str) else int(code)


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    """Attributes as name to value; the value object holds one entry, named by its type."""
    return {
        item["key"]: next(iter(item["value"].values()), None)
        for item in holder.get("attributes", ())
    }
