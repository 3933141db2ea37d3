"""Logs from Loki's ``query_range``: grafana.com/docs/loki/latest/reference/loki-http-api/."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.case import LOG_COLUMNS
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import Plan, Telemetry, Tick, Window
from rca_benchmark.export.loglines import parse_shipped
from rca_benchmark.export.requesting import new_session, request_json, shorten
from rca_benchmark.export.rows import Rows, in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from rca_benchmark.export.endpoint import Endpoint
    from rca_benchmark.export.placement import Placement

PATH: Final = "/loki/api/v1/query_range"
PAGE: Final = 5_000  # Loki's max_entries_limit_per_query, unless its operator changed it
_SERVICE_LABELS: Final = ("service", "container", "app", "service_name")

Entry = tuple[int, tuple[tuple[str, str], ...], str]
"""Time (UTC epoch ns), labels of the stream (sorted), line."""


@dataclass(frozen=True)
class Loki:
    """A Loki server and the streams to read.

    Attributes:
        endpoint: where it answers.
        selector: LogQL stream selector, such as ``{namespace="ray"}``.
        placement: leads from labels to services. Where it is empty, the label ``service`` or
            ``container`` is the service.
        page: entries per request; Loki refuses more than its own limit.
    """

    endpoint: Endpoint
    selector: str
    placement: Placement
    page: int = PAGE

    name = "loki"
    steps = 1

    def plan(self, window: Window) -> Plan:
        """The one query, whose pages depend on the answers."""
        asked = f"{self.selector} [{window}], {self.page} a page"
        return [(self.endpoint.url, asked)]

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All entries of the window.

        Lines of pods that belong to no service of the placement are left out and counted.

        Raises:
            ExportError: a page failed, or one nanosecond holds more entries than a page.
        """
        rows, others, last = Rows(LOG_COLUMNS), 0, ("", "")
        owners: dict[tuple[tuple[str, str], ...], tuple[str, str] | None] = {}
        with new_session(self.endpoint) as session:
            for time, labels, line in self._entries(session, window):
                if labels not in owners:
                    owners[labels] = self._owner(dict(labels))
                owner = owners[labels]
                if owner is None:
                    others += 1
                    continue
                record = parse_shipped(line, time)
                rows.append((record.time, owner[0], record.level, record.message, owner[1]))
                last = owner
        tick(f"loki: {len(rows)} lines, the last of {last[0]}")
        counts = {"loki_lines": len(rows), "loki_lines_of_others": others}
        return Telemetry(logs=in_order(rows.table(), "time"), counts=counts)

    def _entries(self, session: requests.Session, window: Window) -> Iterator[Entry]:
        """Every entry once.

        Each page begins at the last nanosecond of the page before, as more entries of that
        nanosecond may lie behind the border; those already seen are taken off, as many as there
        were. A page that ends in its own first nanosecond is asked for again, larger.
        """
        start, page = window.start_ns, self.page
        seen: Counter[Entry] = Counter()  # entries of the nanosecond ``start``
        while True:
            entries = self._page(session, start, window.end_ns, page)
            full = len(entries) >= page
            if full and entries[-1][0] == start:
                page *= 2
                continue
            fresh = _without(entries, seen)
            yield from fresh
            if not full:
                return
            border = entries[-1][0]
            seen = Counter(entry for entry in entries if entry[0] == border)
            start, page = border, self.page

    def _page(self, session: requests.Session, start: int, end: int, page: int) -> list[Entry]:
        """The earliest entries from ``start`` to ``end``, both included, by time."""
        params = {
            "query": self.selector,
            "start": str(start),
            "end": str(end + 1),  # Loki leaves the end out
            "limit": str(page),
            "direction": "forward",
        }
        asked = f"{self.selector} from {start}"
        answer = request_json(session, self.endpoint, "GET", PATH, asked=asked, params=params)
        try:
            entries = list(_read(answer))
        except (LookupError, TypeError, ValueError) as error:
            raise ExportError(
                f"loki at {self.endpoint.url}: query {asked!r} was answered by what cannot be "
                f"used ({error!r}): {shorten(repr(answer))}"
            ) from error
        entries.sort(key=lambda entry: entry[0])
        return entries

    def _owner(self, labels: dict[str, str]) -> tuple[str, str] | None:
        """Service and source of a stream; None where it is of no service."""
        pod = labels.get("pod", "")
        source = labels.get("filename") or "/".join(
            part for part in (pod, labels.get("container", "")) if part
        )
        named = [labels[key] for key in _SERVICE_LABELS if labels.get(key)]
        if not self.placement:
            service = named[0] if named else None
        else:
            services = self.placement.services
            service = next((name for name in named if name in services), None)
            service = service or self.placement.owner("pod", pod)
        return None if service is None or "_" in service else (service, source)


def _without(entries: list[Entry], seen: Counter[Entry]) -> Iterator[Entry]:
    """The entries without those seen, each as often as it was seen."""
    left = seen.copy()
    for entry in entries:
        if left[entry] > 0:
            left[entry] -= 1
        else:
            yield entry


def _read(answer: Any) -> Iterator[Entry]:
    data = answer["data"]
    if data["resultType"] != "streams":
        raise ValueError(f"resultType is {data['resultType']}, not streams")
    for stream in data["result"]:
        labels = tuple(sorted(stream["stream"].items()))
        for value in stream["values"]:
            yield int(value[0]), labels, value[1]
