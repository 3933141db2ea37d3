"""Whether the client was the bottleneck: how late its event loop was, how busy its processor.

An event loop that has more to do than it can notices tokens late: latencies then grow although the
server is as fast as before. A probe that should ring every 10 ms tells how late the loop is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from llm_benchmark.alarm import make_alarm
from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS
from llm_benchmark.histogram import Histogram

if TYPE_CHECKING:
    import asyncio

PROBE_NS = 10 * MILLISECOND_NS


@dataclass(slots=True)
class Load:
    """What a worker's event loop had to bear within the window.

    Attributes:
        lag: How late the loop came to a probe, ns.
        busiest_cpu: Largest share of one processor in any one second.
        cpu_s: Processor time, s, from the start of the run to its end.
    """

    lag: Histogram = field(default_factory=Histogram)
    busiest_cpu: float = 0.0
    cpu_s: float = 0.0

    def merge(self, other: Load) -> None:
        """Take in what another worker had to bear."""
        self.lag.merge(other.lag)
        self.busiest_cpu = max(self.busiest_cpu, other.busiest_cpu)
        self.cpu_s += other.cpu_s


class Watch:
    """Watches the running event loop.

    Args:
        loop: The loop.
        start_ns: Start of the window, ns of ``time.monotonic_ns``.
        end_ns: Its end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ns: int, end_ns: int) -> None:
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._due_ns = start_ns
        self._lags: list[int] = []
        self._second: tuple[int, float] | None = None
        self._begun_s = time.process_time()
        self._load = Load()
        self._alarm = make_alarm(loop, self._ring)
        self._alarm.set(start_ns)

    def finish(self) -> Load:
        """Stop watching and return what was seen."""
        self._alarm.close()
        self._compress()
        self._load.cpu_s = time.process_time() - self._begun_s
        return self._load

    def _ring(self) -> None:
        now_ns = time.monotonic_ns()
        self._lags.append(now_ns - self._due_ns)
        if self._second is None:
            self._second = (now_ns, time.process_time())
        elif now_ns - self._second[0] >= SECOND_NS:
            self._end_second(now_ns)
        # Probes that were missed altogether are not made up for: one lag tells of them.
        self._due_ns = max(self._due_ns, now_ns - PROBE_NS) + PROBE_NS
        if self._due_ns < self._end_ns:
            self._alarm.set(self._due_ns)

    def _end_second(self, now_ns: int) -> None:
        cpu_s = time.process_time()
        if self._second is not None:
            share = (cpu_s - self._second[1]) * SECOND_NS / (now_ns - self._second[0])
            self._load.busiest_cpu = max(self._load.busiest_cpu, share)
        self._second = (now_ns, cpu_s)
        self._compress()

    def _compress(self) -> None:
        self._load.lag.add(np.array(self._lags, np.int64))
        self._lags = []
