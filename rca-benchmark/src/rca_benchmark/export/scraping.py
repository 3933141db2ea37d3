"""How well Prometheus scraped: intervals, misses, clocks."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.export.base import SECOND_NS, Plan, Telemetry, Tick, Window
from rca_benchmark.export.promql import ask, instant_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from rca_benchmark.export.endpoint import Endpoint

# How far each node's clock is ahead of Prometheus', whose own is asked for separately.
NODE_CLOCKS: Final = "avg_over_time((node_time_seconds - timestamp(node_time_seconds))[$window:])"
CALLER: Final = "source_canonical_service"
CALLEE: Final = "destination_canonical_service"
_CLOCK: Final = "time()"
_INTERVALS: Final = "/api/v1/targets"


@dataclass(frozen=True)
class Scraping:
    """Facts about the scrapes, without a column of their own.

    Attributes:
        endpoint: where Prometheus answers.
        fault_ns: first and last instant of the fault; None where there was none.
        calls: PromQL of requests by caller and callee, with ``$window``; empty where no mesh sees
            them. Its labels are ``CALLER`` and ``CALLEE``.
    """

    endpoint: Endpoint
    fault_ns: tuple[int, int] | None
    calls: str = ""

    name = "scraping"
    steps = 1

    def plan(self, window: Window) -> Plan:
        """The questions, of which the first only where there was a fault."""
        url = self.endpoint.url
        asked = [_CLOCK, _node_clocks(window), f"GET {_INTERVALS}"]
        if self.fault_ns:
            asked.insert(0, _health(self.fault_ns))
        if self.calls:
            asked.append(_over(self.calls, window))
        return [(url, question) for question in asked]

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """Shares of successful scrapes, skew of clocks, and jobs scraped too seldom.

        Raises:
            ExportError: a query failed.
        """
        scrapes = self._scrape_health(window.step_ns) if self.fault_ns else {}
        skew = self._clock_skew(window)
        problems = self._slow_jobs(window.step_ns)
        calls = self._call_edges(window) if self.calls else ()
        tick("prometheus: scrapes")
        return Telemetry(scrapes=scrapes, clock_skew_s=skew, problems=problems, calls=calls)

    def _scrape_health(self, step_ns: int) -> dict[str, float]:
        """Scrapes are counted, so one that never took place lowers the share as well."""
        assert self.fault_ns is not None  # noqa: S101 # for mypy: fetch asks only then
        start_ns, end_ns = self.fault_ns
        result = self._query(_health(self.fault_ns), end_ns // SECOND_NS)
        expected = max(1, (end_ns - start_ns) // SECOND_NS) * SECOND_NS / step_ns
        return {_target(labels): min(1.0, value / expected) for labels, value in result}

    def _clock_skew(self, window: Window) -> dict[str, float]:
        """Prometheus' clock against this machine's, and each node's against Prometheus'."""
        before = time.time()
        answer = self._ask(_CLOCK, lambda server: server.custom_query(_CLOCK))
        after = time.time()
        skew = {"prometheus": round(float(answer[1]) - (before + after) / 2, 3)}
        for labels, value in self._query(_node_clocks(window), window.end_ns // SECOND_NS):
            skew[f"node {labels.get('node') or labels.get('instance', '')}"] = round(value, 3)
        return skew

    def _slow_jobs(self, step_ns: int) -> tuple[str, ...]:
        """Jobs whose samples would be repeated at this step."""

        def targets(server: Any) -> Any:
            return server.get_targets(state="active")["activeTargets"]

        slow = {
            f"job {target['labels'].get('job', '')} is scraped every {target['scrapeInterval']}, "
            f"the step is {step_ns // SECOND_NS} s: its samples would repeat"
            for target in self._ask(_INTERVALS, targets)
            if _seconds(target["scrapeInterval"]) * SECOND_NS > step_ns
            and "service" in target["labels"]
        }
        return tuple(sorted(slow))

    def _call_edges(self, window: Window) -> tuple[tuple[str, str], ...]:
        result = self._query(_over(self.calls, window), window.end_ns // SECOND_NS)
        pairs = {(labels.get(CALLER, ""), labels.get(CALLEE, "")) for labels, _ in result}
        return tuple(sorted(pair for pair in pairs if all(pair) and "unknown" not in pair))

    def _query(self, query: str, time_s: int) -> list[tuple[dict[str, str], float]]:
        return instant_query(self.endpoint, query, time_s)

    def _ask(self, asked: str, question: Callable[[Any], Any]) -> Any:
        return ask(self.endpoint, asked, question)


def _health(fault_ns: tuple[int, int]) -> str:
    seconds = max(1, (fault_ns[1] - fault_ns[0]) // SECOND_NS)
    return f"sum_over_time(up[{seconds}s])"


def _node_clocks(window: Window) -> str:
    return _over(NODE_CLOCKS, window)


def _over(query: str, window: Window) -> str:
    """A query over the whole window."""
    return query.replace("$window", f"{max(1, (window.end_ns - window.start_ns) // SECOND_NS)}s")


def _seconds(duration: str) -> float:
    """A duration as Prometheus writes it, such as 1m30s or 500ms, in seconds."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", duration)
    return sum(int(number) * units[unit] for number, unit in parts)


def _target(labels: dict[str, str]) -> str:
    return f"{labels.get('job', '')}/{labels.get('service') or labels.get('instance', '')}"
