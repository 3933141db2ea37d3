"""nginx's JSON access log: log records, spans, and the latency of the entry.

nginx without its commercial modules exposes no latency histogram, so the entry's indicators are
derived here, per step, from the requests that completed in the 5 s before it:

* ``latency-50``, ``latency-90``, ``latency-99``: quantiles of the request time, seconds (linear
  interpolation); null where no request completed;
* ``workload``: requests completed per second;
* ``error``: requests per second that ended in a status of 499 (the client gave up) or more.

A request counts when it completes: one that hangs is not seen before it ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Plan, Telemetry, Tick, Window
from rca_benchmark.export.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SERVICE: Final = "nginx-proxy"
ACCESS_LOG: Final = "access.json"
SLI: Final = f"{SERVICE}_latency-90"
TRAILING_NS: Final = 5 * SECOND_NS
FIRST_ERROR_STATUS: Final = 499
_QUANTILES: Final = {"latency-50": 0.5, "latency-90": 0.9, "latency-99": 0.99}
METRICS: Final = (*_QUANTILES, "workload", "error")
_NONE: Final = (None, "", "-")


class _Request(NamedTuple):
    end_ns: int
    seconds: float
    status: int
    fields: dict[str, Any]
    source: str


@dataclass(frozen=True)
class AccessLog:
    """The access logs below ``<logs>/nginx-proxy``; without a folder all indicators are absent."""

    root: Path | None

    name = "nginx"

    @property
    def steps(self) -> int:
        """One."""
        return 1

    def plan(self, window: Window) -> Plan:
        """Every access log."""
        return [(str(path), f"requests of {window}") for path in self._paths()]

    def _paths(self) -> list[Path]:
        return sorted((self.root / SERVICE).rglob(ACCESS_LOG)) if self.root else []

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """Indicators, log records and spans of all requests that completed in the window.

        Raises:
            ExportError: a log cannot be read, or a line lacks a field.
        """
        paths = self._paths()
        requests, cut = _read(paths, self.root)
        inside = [request for request in requests if window.holds(request.end_ns)]
        metrics = derive_metrics(requests, window) if paths else _absent(window)
        traced = [request for request in inside if request.fields.get("trace_id") not in _NONE]
        tick("nginx: access log")
        return Telemetry(
            metrics=metrics,
            logs=typed_table([_log_row(request) for request in inside], LOG_COLUMNS),
            traces=typed_table([_span_row(request) for request in traced], TRACE_COLUMNS),
            received=dict.fromkeys(metrics.columns, len(metrics) if paths else 0),
            counts={
                "nginx_requests": len(inside),
                "nginx_requests_without_trace": len(inside) - len(traced),
                "nginx_lines_cut": cut,
            },
        )


def derive_metrics(requests: Iterable[_Request], window: Window) -> pd.DataFrame:
    """The entry's indicators on the window's grid; see the head of this module."""
    done = sorted(requests, key=lambda request: request.end_ns)
    ends = np.array([request.end_ns for request in done], dtype=np.int64)
    seconds = np.array([request.seconds for request in done], dtype=np.float64)
    failed = np.cumsum([0, *(request.status >= FIRST_ERROR_STATUS for request in done)])
    grid = window.grid()
    first = np.searchsorted(ends, grid - TRAILING_NS, side="right")
    last = np.searchsorted(ends, grid, side="right")
    latency = np.full((grid.size, len(_QUANTILES)), np.nan)
    for row in np.flatnonzero(last > first):
        latency[row] = np.quantile(seconds[first[row] : last[row]], list(_QUANTILES.values()))
    per_second = TRAILING_NS / SECOND_NS
    columns = dict(zip(_QUANTILES, latency.T, strict=True))
    columns["workload"] = (last - first) / per_second
    columns["error"] = (failed[last] - failed[first]) / per_second
    return pd.DataFrame({f"{SERVICE}_{name}": columns[name] for name in METRICS}, index=grid)


def _absent(window: Window) -> pd.DataFrame:
    columns = [f"{SERVICE}_{name}" for name in METRICS]
    return pd.DataFrame(np.nan, index=window.grid(), columns=columns)


def _read(paths: list[Path], root: Path | None) -> tuple[list[_Request], int]:
    """All requests of the files, and how many unfinished last lines were left out."""
    requests: list[_Request] = []
    cut = 0
    for path in paths:
        source = str(path.relative_to(root)) if root else path.name
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        except OSError as error:
            raise ExportError(f"{path}: cannot be read: {error}") from error
        for number, line in enumerate(lines, start=1):
            try:
                requests.append(_parse(line, source))
            except (ValueError, KeyError, TypeError) as error:
                if not line.endswith("\n"):
                    cut += 1
                    continue
                raise ExportError(
                    f"{path}: line {number} is not an access record: {error!r}"
                ) from error
    return requests, cut


def _parse(line: str, source: str) -> _Request:
    fields = json.loads(line)
    # $msec has milliseconds where $time_iso8601 has none.
    end_ns = parse_time(fields["msec"] if "msec" in fields else fields["time"])
    return _Request(end_ns, float(fields["request_time"]), int(fields["status"]), fields, source)


def _log_row(request: _Request) -> tuple[Any, ...]:
    fields = request.fields
    details = " ".join(
        f"{key}={fields[key]}"
        for key in ("request_time", "upstream_response_time", "upstream_addr", "bytes_sent")
        if key in fields
    )
    message = f"{fields.get('method', '-')} {fields.get('uri', '-')} {request.status} {details}"
    level = "INFO" if request.status < 400 else "WARNING" if request.status < 499 else "ERROR"
    return (request.end_ns, SERVICE, level, message, request.source)


def _span_row(request: _Request) -> tuple[Any, ...]:
    fields = request.fields
    duration = round(request.seconds * 1_000_000)
    path = str(fields.get("uri", "")).partition("?")[0]
    parent = fields.get("parent_span_id")
    return (
        str(fields["trace_id"]).lower(),
        str(fields.get("span_id", "")).lower(),
        "" if parent in _NONE else str(parent).lower(),
        SERVICE,
        f"{fields.get('method', '')} {path}".strip(),
        path,
        request.end_ns // 1000 - duration,
        duration,
        request.status,
    )
