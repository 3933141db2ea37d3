"""Logs from files: ``<logs>/<service>/**`` with one folder per service, times in UTC."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rca_benchmark.case import LOG_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import Telemetry, Tick, Window
from rca_benchmark.export.nginx import ACCESS_LOG
from rca_benchmark.export.timestamps import parse_clock, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SUFFIXES: Final = frozenset({".log", ".out", ".err", ".json"})

_DATE = r"(?P<date>(?:\d{4}[-/])?\d\d[-/]\d\d)"
_CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d+))?"
_TEXT_FORMATS: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # vLLM:       INFO 11-23 07:00:12 [loggers.py:12] text
        # Ray Serve:  INFO 2026-11-23 07:00:12,345 proxy 10.0.0.1 file.py:12 - text
        rf"(?P<level>[A-Z]+) {_DATE} {_CLOCK} (?P<message>.*)",
        # Ray:        2026-11-23 07:00:12,345 INFO file.py:12 -- text
        rf"{_DATE} {_CLOCK}\s+(?P<level>[A-Z]+)\s+(?P<message>.*)",
        # Ray core:   [2026-11-23 07:00:12,345 I 12 34] (raylet) file.cc:12: text
        rf"\[{_DATE} {_CLOCK} (?P<level>[A-Z]) [^\]]*\] (?P<message>.*)",
        # nginx:      2026/11/23 07:00:12 [error] 12#12: *1 text
        rf"{_DATE} {_CLOCK} \[(?P<level>[a-z]+)\] (?P<message>.*)",
    )
)
# Colour codes, then what vLLM and Ray put before the lines of a child process.
_PREFIX: Final = re.compile(r"(?:\x1b\[[0-9;]*m\s*|\([^()]*\bpid=\d+[^()]*\)\s*)*")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_TIME_KEYS: Final = ("time", "timestamp", "asctime", "ts")
_LEVEL_KEYS: Final = ("level", "levelname", "severity")
_MESSAGE_KEYS: Final = ("message", "msg")
_LEVELS: Final = {"I": "INFO", "D": "DEBUG", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"} | {
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
}


class _Record(NamedTuple):
    time: int
    level: str
    message: str


@dataclass(frozen=True)
class LogFiles:
    """A folder with one sub-folder of log files per service."""

    root: Path

    name = "logs"

    @property
    def steps(self) -> int:
        """One per file."""
        return len(log_files(self.root))

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All records of the window. nginx's access log is not among them: see ``nginx``.

        A line without a time of its own continues the record before it; such lines at the start
        of a file belong to no record and are counted.

        Raises:
            ExportError: a file cannot be read.
        """
        rows: list[tuple[Any, ...]] = []
        untimed = 0
        for service, path in log_files(self.root):
            source = str(path.relative_to(self.root))
            for record in _read_records(path, window.start_ns):
                if isinstance(record, str):
                    untimed += 1
                elif window.holds(record.time):
                    rows.append((record.time, service, record.level, record.message, source))
            tick(f"logs: {source}")
        logs = typed_table(rows, LOG_COLUMNS)
        return Telemetry(
            logs=logs, counts={"log_records": len(rows), "log_lines_without_time": untimed}
        )


def log_files(root: Path) -> list[tuple[str, Path]]:
    """Every log file with its service, by path.

    Raises:
        ExportError: the folder is missing, or a sub-folder is not named like a service.
    """
    if not root.is_dir():
        raise ExportError(f"{root}: no such folder of logs")
    services = sorted(path for path in root.iterdir() if path.is_dir())
    if bad := [path for path in services if "_" in path.name]:
        raise ExportError(f"{bad[0]}: a service name holds no underscore; rename the folder")
    return [
        (folder.name, path)
        for folder in services
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in SUFFIXES and path.name != ACCESS_LOG
    ]


def parse_records(lines: Iterable[str], near_ns: int) -> Iterator[_Record | str]:
    """Records of one file's lines; a line that belongs to no record comes back as it is.

    Args:
        lines: with or without line ends.
        near_ns: an instant, UTC epoch ns, that decides the year where a line leaves it out.
    """
    current: _Record | None = None
    extra: list[str] = []
    for raw in lines:
        line = raw.rstrip("\r\n")
        record = _parse_line(line, near_ns)
        if record is None and current is None:
            yield line
        elif record is None:
            extra.append(line)
        else:
            if current is not None:
                yield _joined(current, extra)
            current, extra = record, []
    if current is not None:
        yield _joined(current, extra)


def _read_records(path: Path, near_ns: int) -> Iterator[_Record | str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from parse_records(file, near_ns)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error


def _joined(record: _Record, extra: list[str]) -> _Record:
    return record._replace(message="\n".join([record.message, *extra])) if extra else record


def _parse_line(line: str, near_ns: int) -> _Record | None:
    try:
        return _parse_json(line) if line.startswith("{") else _parse_text(line, near_ns)
    except ValueError:  # looks like a record, but its time is none: part of the record before
        return None


def _parse_json(line: str) -> _Record | None:
    fields = json.loads(line)
    time = next((fields[key] for key in _TIME_KEYS if key in fields), None)
    if time is None:
        return None
    level = next((fields[key] for key in _LEVEL_KEYS if key in fields), "")
    message = next((fields[key] for key in _MESSAGE_KEYS if key in fields), line)
    return _Record(parse_time(time), _level(str(level)), str(message))


def _parse_text(line: str, near_ns: int) -> _Record | None:
    body = line[_PREFIX.match(line).end() :]  # type: ignore[union-attr] # matches the empty text
    for pattern in _TEXT_FORMATS:
        if match := pattern.match(body):
            time = parse_clock(match["date"], match["clock"], match["fraction"] or "", near_ns)
            return _Record(time, _level(match["level"]), _COLOUR.sub("", match["message"]))
    return None


def _level(text: str) -> str:
    upper = text.upper()
    return _LEVELS.get(upper, upper)
