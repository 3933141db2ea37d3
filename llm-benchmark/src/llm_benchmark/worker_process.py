"""One worker as a process of its own: told by its parent when to start and stop."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop

from llm_benchmark.aiohttp_transport import AiohttpTransport
from llm_benchmark.client import make_target, tls_context
from llm_benchmark.plan import Plan
from llm_benchmark.raw_transport import RawTransport
from llm_benchmark.records import RecordWriter
from llm_benchmark.saturation import Load, Watch
from llm_benchmark.schedules import load_of
from llm_benchmark.worker import Worker

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from llm_benchmark.client import Target, Transport
    from llm_benchmark.clock import Clock
    from llm_benchmark.options import RunOptions
    from llm_benchmark.plan import Shard
    from llm_benchmark.records import Record

# How often records are written; a crash loses no more than this and the write itself.
TICK_S = 0.25
TRANSPORTS = ("aiohttp", "raw")


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker has to do.

    Attributes:
        options: The run's options.
        shard: Its part of the schedule.
        number: Which worker it is, from 0.
        slots: Requests to keep in flight in a closed loop; 0 in an open one.
        clock: The run's clock, the same for all workers of a machine.
        api_key: Sent to the server; None sends none.
        file: Where its records go.
    """

    options: RunOptions
    shard: Shard
    number: int
    slots: int
    clock: Clock
    api_key: str | None
    file: Path


# What parent and worker tell each other.
@dataclass(frozen=True, slots=True)
class Ready:
    """The worker could begin."""


@dataclass(frozen=True, slots=True)
class Start:
    """The worker shall begin: the schedule counts from ``start_ns`` (UTC epoch ns)."""

    start_ns: int


@dataclass(frozen=True, slots=True)
class Halt:
    """The worker shall send no more, and give up what is in flight after ``grace_ns``."""

    grace_ns: int


@dataclass(frozen=True, slots=True)
class Progress:
    """So many requests were begun, and the file of records is complete up to this size (bytes)."""

    sent: int
    file_size: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker has sent everything and its file is complete."""

    sent: int
    file_size: int
    load: Load
    peak_in_flight: int
    unsent_turns: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot go on: its records cannot be written."""

    reason: str


def work(task: Task, parent: Connection) -> None:
    """Do the task; the process's entry.

    Args:
        task: What to do.
        parent: Who says when.
    """
    # The parent hears the signals and decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_Process(task, parent).run())


class _Process:
    """Worker, writer and watch of one process, bound together."""

    def __init__(self, task: Task, parent: Connection) -> None:
        self._task = task
        self._parent = parent
        self._writer = RecordWriter(task.file)
        self._started: asyncio.Future[int]
        self._worker: Worker | None = None
        self._failure: OSError | None = None

    async def run(self) -> None:
        task = self._task
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        plan = Plan(task.options, load_of(task.options))
        transport = make_transport(task.options.transport, _target(plan, task))
        loop.add_reader(self._parent.fileno(), self._listen)
        self._parent.send(Ready())
        start_ns = await self._started
        if start_ns:
            await self._drive(plan, transport, start_ns)
        else:
            self._tell(Ended(0, self._writer.flush(), Load(), 0, 0))
        await transport.close()

    async def _drive(self, plan: Plan, transport: Transport, start_ns: int) -> None:
        task = self._task
        self._worker = Worker(
            plan,
            task.shard,
            task.number,
            transport,
            task.clock,
            start_ns=start_ns,
            slots=task.slots,
            secret=task.api_key,
            on_record=self._add,
        )
        loop = asyncio.get_running_loop()
        begin_ns = task.clock.monotonic(start_ns)
        watch = Watch(
            loop,
            begin_ns + task.options.warmup,
            begin_ns + plan.load.duration_ns - task.options.cooldown,
        )
        # What is there already lives as long as the run: no need to look through it for garbage.
        gc.freeze()
        ticker = asyncio.create_task(self._tick())
        await self._worker.run()
        ticker.cancel()
        self._finish(watch.finish())

    def _finish(self, load: Load) -> None:
        worker = self._worker
        assert worker is not None  # noqa: S101
        # The event loop has made the pipe non-blocking; the last message may be larger than it.
        asyncio.get_running_loop().remove_reader(self._parent.fileno())
        os.set_blocking(self._parent.fileno(), True)
        try:
            self._writer.finish()
        except OSError as error:
            self._failure = self._failure or error
        if self._failure is not None:
            self._tell(Failed(str(self._failure)))
            return
        size = self._task.file.stat().st_size
        self._tell(Ended(worker.sent, size, load, worker.peak_in_flight, worker.unsent_turns))

    def _listen(self) -> None:
        try:
            message = self._parent.recv()
        except (EOFError, ConnectionResetError):
            # Nobody is left to work for.
            asyncio.get_running_loop().remove_reader(self._parent.fileno())
            message = Halt(0)
        if isinstance(message, Start):
            self._started.set_result(message.start_ns)
        elif self._worker is not None:
            self._worker.stop(message.grace_ns)
        elif not self._started.done():
            self._started.set_result(0)

    def _add(self, record: Record) -> None:
        try:
            self._writer.add(record)
        except OSError as error:
            self._give_up(error)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                size = self._writer.flush()
            except OSError as error:
                self._give_up(error)
            else:
                self._tell(Progress(self._worker.sent if self._worker else 0, size))

    def _give_up(self, error: OSError) -> None:
        """End the run: a load whose records are lost is worth nothing."""
        if self._failure is None:
            self._failure = error
            if self._worker is not None:
                self._worker.stop(0)

    def _tell(self, message: Progress | Ended | Failed) -> None:
        try:
            self._parent.send(message)
        except BlockingIOError:
            # The parent was held up for minutes; the next message tells more than this one.
            return
        except BrokenPipeError:
            self._give_up(BrokenPipeError("the parent process is gone"))


def make_transport(name: str, target: Target) -> Transport:
    """Return a transport by its name, inside a running event loop."""
    return AiohttpTransport(target) if name == "aiohttp" else RawTransport(target)


def _target(plan: Plan, task: Task) -> Target:
    options = task.options
    return make_target(
        options.url,
        plan.path,
        plan.provider.headers(task.api_key),
        options.timeout,
        tls_context(options.ca, verify=not options.insecure),
    )
