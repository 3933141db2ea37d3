"""Traces from OTLP JSON lines, as the OpenTelemetry collector's file exporter writes them.

Format: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"; each line is one
ExportTraceServiceRequest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import Telemetry, Tick, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HTTP_STATUS = ("http.response.status_code", "http.status_code")
_OPERATION = ("http.route", "url.path", "http.target", "rpc.method")
_OTLP_STATUS = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


@dataclass(frozen=True)
class OtlpFiles:
    """Files of OTLP JSON lines."""

    paths: tuple[Path, ...]

    name = "otlp"

    @property
    def steps(self) -> int:
        """One per file."""
        return len(self.paths)

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All spans that start inside the window.

        ``statusCode`` is the HTTP status where the span has one, else OTLP's own (0 unset, 1 ok,
        2 error). A last line that is still being written is left out and counted.

        Raises:
            ExportError: a file cannot be read, or a line is not OTLP JSON.
        """
        rows: list[tuple[Any, ...]] = []
        cut = 0
        for path in self.paths:
            for number, line in enumerate(_lines(path), start=1):
                if not line.endswith("\n") and not _is_json(line):
                    cut += 1
                    continue
                try:
                    rows.extend(_spans(json.loads(line), window))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ExportError(
                        f"{path}: line {number} is not an OTLP trace request: {error!r}"
                    ) from error
            tick(f"otlp: {path.name}")
        traces = typed_table(rows, TRACE_COLUMNS)
        return Telemetry(traces=traces, counts={"otlp_spans": len(rows), "otlp_lines_cut": cut})


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _spans(request: dict[str, Any], window: Window) -> Iterator[tuple[Any, ...]]:
    for resource_spans in request["resourceSpans"]:
        resource = _attributes(resource_spans.get("resource", {}))
        service = resource.get("service.name")
        if not service:
            raise ValueError("a resource has no attribute service.name")
        for scope_spans in resource_spans.get("scopeSpans", ()):
            for span in scope_spans.get("spans", ()):
                if window.holds(int(span["startTimeUnixNano"])):
                    yield _row(service, span)


def _row(service: str, span: dict[str, Any]) -> tuple[Any, ...]:
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
