"""Lets many generators go on when each is due."""

from __future__ import annotations

import time
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from llm_benchmark.alarm import make_alarm

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


class Metronome:
    """Runs generators that yield the instant (``time.monotonic_ns``) at which to go on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting: list[tuple[int, int, Iterator[int]]] = []
        self._number = 0
        self._alarm = make_alarm(loop, self._ring)

    def start(self, steps: Iterator[int]) -> None:
        """Run a generator up to its first wait, and on from there when it is due."""
        due_ns = next(steps, None)
        if due_ns is not None:
            # The number settles ties: first come, first served.
            self._number += 1
            heappush(self._waiting, (due_ns, self._number, steps))
            if self._waiting[0][2] is steps:
                self._alarm.set(due_ns)

    def close(self) -> None:
        """Let nothing go on any more."""
        self._waiting.clear()
        self._alarm.close()

    def _ring(self) -> None:
        waiting = self._waiting
        now_ns = time.monotonic_ns()
        # Only what is due now: between two rings the loop must get to reading.
        while waiting and waiting[0][0] <= now_ns:
            _, number, steps = heappop(waiting)
            due_ns = next(steps, None)
            if due_ns is not None:
                heappush(waiting, (due_ns, number, steps))
        if waiting:
            self._alarm.set(waiting[0][0])
