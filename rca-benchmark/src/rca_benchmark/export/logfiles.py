"""Logs from files: ``<logs>/<service>/**`` with one folder per service, times in UTC."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.case import LOG_COLUMNS
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import Plan, Telemetry, Tick, Window
from rca_benchmark.export.loglines import Record, parse_line
from rca_benchmark.export.nginx import ACCESS_LOG
from rca_benchmark.export.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LARGE_BYTES: Final = 4 * 2**20
SUFFIXES: Final = frozenset({".log", ".out", ".err", ".json"})


@dataclass(frozen=True)
class LogFiles:
    """A folder with one sub-folder of log files per service."""

    root: Path

    name = "logs"

    @property
    def steps(self) -> int:
        """One per file."""
        return len(log_files(self.root))

    def plan(self, window: Window) -> Plan:
        """Every file."""
        return [(str(path), f"records of {window}") for _, path in log_files(self.root)]

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All records of the window. nginx's access log is not among them: see ``nginx``.

        A line without a time of its own continues the record before it; such lines at the start
        of a file belong to no record and are counted.

        Raises:
            ExportError: a file cannot be read.
        """
        rows, untimed = Rows(LOG_COLUMNS), [0]
        files = []
        for service, path in log_files(self.root):
            found = self._rows(service, path, window, untimed)
            # Few files are large, so few are open at once.
            files.append(found if path.stat().st_size > LARGE_BYTES else iter(list(found)))
            tick(f"logs: {path.relative_to(self.root)}")
        rows.extend(heapq.merge(*files, key=itemgetter(0)))
        counts = {"log_records": len(rows), "log_lines_without_time": untimed[0]}
        return Telemetry(logs=rows.table(), counts=counts)

    def _rows(
        self, service: str, path: Path, window: Window, untimed: list[int]
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of one file's records inside the window; counts the lines of no record."""
        source = str(path.relative_to(self.root))
        for record in _read_records(path, window.start_ns):
            if isinstance(record, str):
                untimed[0] += 1
            elif window.holds(record.time):
                yield (record.time, service, record.level, record.message, source)


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


def parse_records(lines: Iterable[str], near_ns: int) -> Iterator[Record | str]:
    """Records of one file's lines; a line that belongs to no record comes back as it is.

    Args:
        lines: with or without line ends.
        near_ns: an instant, UTC epoch ns, that decides the year where a line leaves it out.
    """
    current: Record | None = None
    extra: list[str] = []
    for raw in lines:
        line = raw.rstrip("\r\n")
        record = parse_line(line, near_ns)
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


def _read_records(path: Path, near_ns: int) -> Iterator[Record | str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from parse_records(file, near_ns)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error


def _joined(record: Record, extra: list[str]) -> Record:
    return record._replace(message="\n".join([record.message, *extra])) if extra else record
