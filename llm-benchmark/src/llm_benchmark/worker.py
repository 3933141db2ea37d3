"""Sends the plan in open loop: each request when it is due, whatever is outstanding."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_benchmark.clock import SECOND_NS

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from llm_benchmark.client import Client
    from llm_benchmark.clock import Clock
    from llm_benchmark.plan import Plan, Request
    from llm_benchmark.records import Record


@dataclass(frozen=True, slots=True)
class Stop:
    """A run cut short.

    Attributes:
        signal: The signal that asked for it.
        at_ns: When, UTC epoch ns.
    """

    signal: signal.Signals
    at_ns: int


class Worker:
    """One event loop's share of a run.

    Args:
        plan: What to send.
        client: How to send it.
        clock: The run's clock.
        start_ns: The instant from which the plan counts, UTC epoch ns.
        on_first: Called once the first request has begun.
        on_record: Called with each finished record.

    Attributes:
        sent: Requests begun so far.
        stopped: Why the run was cut short; None while it was not.
    """

    def __init__(
        self,
        plan: Plan,
        client: Client,
        clock: Clock,
        *,
        start_ns: int,
        on_first: Callable[[], None],
        on_record: Callable[[Record], None],
    ) -> None:
        self._plan = plan
        self._client = client
        self._clock = clock
        self._start_ns = start_ns
        self._on_first = on_first
        self._on_record = on_record
        self._issuing: asyncio.Task[None] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.stopped: Stop | None = None

    async def run(self) -> None:
        """Send everything and wait until every request has its record."""
        async with asyncio.TaskGroup() as group:
            self._issuing = group.create_task(self._issue(group))

    def stop(self, why: signal.Signals, grace_ns: int) -> None:
        """Send no more; cancel what is still outstanding after the grace time (ns)."""
        if self.stopped is None:
            self.stopped = Stop(why, self._clock.now())
            self.give_up(grace_ns)

    def give_up(self, grace_ns: int) -> None:
        """End ``run`` within the grace time (ns)."""
        if self._issuing is not None:
            self._issuing.cancel()
        asyncio.get_running_loop().call_later(grace_ns / SECOND_NS, self._cancel_outstanding)

    async def _issue(self, group: asyncio.TaskGroup) -> None:
        turned_ns = 0
        for index in range(len(self._plan.due_ns)):
            # Made before it is due, so that making it delays nothing.
            request = self._plan.request(index, self._start_ns)
            due_ns = request.record.intended_ns
            # What was due when the loop last turned goes out together. The rest waits for its time,
            # or at least for a turn: a client that is late must still get to sending.
            if due_ns > turned_ns:
                await asyncio.sleep(max(0, due_ns - self._clock.now()) / SECOND_NS)
                turned_ns = self._clock.now()
            task = group.create_task(self._send(request))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            self.sent += 1
            if index == 0:
                # After the task's first step: the request goes first, the news second.
                asyncio.get_running_loop().call_soon(self._on_first)

    async def _send(self, request: Request) -> None:
        try:
            await self._client.send(request.record, request.prompt, request.body)
        finally:
            self._on_record(request.record)

    def _cancel_outstanding(self) -> None:
        for task in self._in_flight:
            task.cancel()
