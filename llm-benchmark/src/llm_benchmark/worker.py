"""Sends a shard of the plan: each request when it is due, whatever is outstanding."""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from llm_benchmark.alarm import make_alarm
from llm_benchmark.clock import SECOND_NS
from llm_benchmark.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_benchmark.client import Transport
    from llm_benchmark.clock import Clock
    from llm_benchmark.plan import Plan, Request, Shard
    from llm_benchmark.records import Record

# How many requests are made before they are due, so that making them delays nothing.
AHEAD = 128


class Worker:
    """One event loop's share of a run; made inside the running loop.

    Args:
        plan: What to send.
        shard: Which part of it.
        number: Which worker this is, for the records.
        transport: How to send it.
        clock: The run's clock.
        start_ns: The start of the run, UTC epoch ns.
        slots: Requests to keep in flight in a closed loop; 0 in an open one.
        secret: An API key to strike out of error texts.
        on_record: Called with each finished record.
    """

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        number: int,
        transport: Transport,
        clock: Clock,
        *,
        start_ns: int,
        slots: int,
        secret: str | None,
        on_record: Callable[[Record], None],
    ) -> None:
        self._plan = plan
        self._number = number
        self._transport = transport
        self._clock = clock
        self._start_ns = start_ns
        self._end_ns = start_ns + plan.load.duration_ns
        self._slots = slots
        self._secret = secret
        self._on_record = on_record
        self._indices: Iterator[int] = plan.indices(shard)
        self._ahead: deque[Request] = deque()
        # Requests whose time depends on an answer: when, a number that settles ties, and what.
        self._later: list[tuple[int, int, Callable[[], Request]]] = []
        self._numbers = count()
        self._in_flight: dict[Exchange, Request] = {}
        self._over = asyncio.Event()
        self._alarm = make_alarm(asyncio.get_running_loop(), self._ring)
        self._stopped = False
        self.sent = 0
        self.peak_in_flight = 0
        self.unsent_turns = 0

    async def run(self) -> None:
        """Send everything and wait until every request has its record."""
        if self._slots:
            for _ in range(self._slots):
                self._put_opening(self._start_ns)
        else:
            self._look_ahead(AHEAD)
        self._arm()
        await self._over.wait()
        self._alarm.close()

    def stop(self, grace_ns: int) -> None:
        """Send no more; cancel what is still outstanding after the grace time (ns)."""
        if not self._stopped:
            self._stopped = True
            self._ahead.clear()
            self._later.clear()
            loop = asyncio.get_running_loop()
            loop.call_later(grace_ns / SECOND_NS, self._transport.cancel)
            self._end_if_over()

    def _ring(self) -> None:
        """Send what is due now; what becomes due meanwhile waits until the loop has read."""
        now_ns = self._clock.now()
        sent_before = self.sent
        while self._ahead and self._ahead[0].record.intended_ns <= now_ns:
            self._send(self._ahead.popleft())
        while self._later and self._later[0][0] <= now_ns:
            _, _, make = heappop(self._later)
            self._send(make())
        self._look_ahead(min(self.sent - sent_before, AHEAD - len(self._ahead)))
        self._arm()

    def _look_ahead(self, number: int) -> None:
        if self._slots or self._stopped:
            return
        due_ns = self._plan.load.due_ns
        assert due_ns is not None  # noqa: S101
        for _ in range(number):
            index = next(self._indices, None)
            if index is None:
                return
            intended_ns = self._start_ns + int(due_ns[index])
            self._ahead.append(self._plan.opening(index, intended_ns, self._number))

    def _arm(self) -> None:
        dues = [self._ahead[0].record.intended_ns] if self._ahead else []
        if self._later:
            dues.append(self._later[0][0])
        if dues:
            self._alarm.set(self._clock.monotonic(min(dues)))
        else:
            self._end_if_over()

    def _end_if_over(self) -> None:
        if not (self._ahead or self._later or self._in_flight):
            self._over.set()

    def _send(self, request: Request) -> None:
        exchange = Exchange(
            request.record,
            request.body,
            request.prompt,
            provider=self._plan.provider,
            count=self._plan.load.tokenizer.count,
            clock=self._clock,
            on_end=self._ended,
            secret=self._secret,
            keep_text=request.has_next,
        )
        self._in_flight[exchange] = request
        self.sent += 1
        self.peak_in_flight = max(self.peak_in_flight, len(self._in_flight))
        self._transport.send(exchange)

    def _ended(self, exchange: Exchange) -> None:
        request = self._in_flight.pop(exchange)
        self._on_record(exchange.record)
        if not self._stopped:
            self._go_on(request, exchange)
        self._end_if_over()

    def _go_on(self, request: Request, exchange: Exchange) -> None:
        """Put what a request's end makes due: the next turn, or a closed loop's next request."""
        ended_ns = exchange.record.end_ns or 0
        due_ns = ended_ns + self._plan.options.load.think_time
        if request.has_next:
            # A conversation ends early with a failure, and with the run.
            if due_ns < self._end_ns and not exchange.record.error_class:
                text = exchange.text
                self._put_later(due_ns, lambda: self._plan.following(request, text, due_ns))
                return
            self.unsent_turns += len(request.conversation) - 1 - request.record.turn
        if self._slots and ended_ns < self._end_ns:
            self._put_opening(ended_ns)

    def _put_opening(self, due_ns: int) -> None:
        """Put a closed loop's next request: due when its slot became free."""
        index = next(self._indices, None)
        if index is not None:
            self._put_later(due_ns, lambda: self._plan.opening(index, due_ns, self._number))

    def _put_later(self, due_ns: int, make: Callable[[], Request]) -> None:
        heappush(self._later, (due_ns, next(self._numbers), make))
        if not self._ahead or due_ns < self._ahead[0].record.intended_ns:
            self._arm()
