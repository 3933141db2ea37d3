"""The worker processes of a run, seen from their parent."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from llm_benchmark.plan import Shard
from llm_benchmark.records import RecordTail, partial_name
from llm_benchmark.saturation import Load
from llm_benchmark.worker_process import Ended, Failed, Halt, Progress, Ready, Start, Task, work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    import pyarrow as pa

    from llm_benchmark.clock import Clock
    from llm_benchmark.options import RunOptions


@dataclass(slots=True)
class Member:
    """One worker.

    Attributes:
        number: Which one it is, from 0.
        file: Where its records go.
        sent: Requests it has begun.
        ready: Whether it waits for the start, or has started.
        ended: What it said at its end; None: still at work, or dead.
        lost: Why it is no more, in words; empty: as it should be.
    """

    number: int
    file: Path
    process: SpawnProcess
    connection: Connection
    tail: RecordTail | None = None
    sent: int = 0
    ready: bool = False
    ended: Ended | None = None
    failure: str = ""
    lost: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.ended is not None or bool(self.failure or self.lost)


@dataclass(slots=True)
class Crew:
    """All workers of a run on this machine."""

    members: list[Member] = field(default_factory=list)

    @classmethod
    def hire(cls, options: RunOptions, clock: Clock, api_key: str | None) -> Crew:
        """Start the worker processes; they wait for ``start``."""
        context = multiprocessing.get_context("spawn")
        crew = cls()
        index, shards = options.shard
        slots = options.load.concurrency or 0
        for number in range(options.workers):
            here, there = context.Pipe()
            file = options.out / partial_name(number)
            task = Task(
                options=options,
                # The workers of all machines take turns.
                shard=Shard(index + shards * number, shards * options.workers),
                number=number,
                slots=slots // options.workers + (number < slots % options.workers),
                clock=clock,
                api_key=api_key,
                file=file,
            )
            process = context.Process(target=work, args=(task, there), daemon=True)
            process.start()
            there.close()
            crew.members.append(Member(number, file, process, here))
        return crew

    @property
    def sent(self) -> int:
        """Requests begun."""
        return sum(member.sent for member in self.members)

    @property
    def ready(self) -> bool:
        """Whether all that live wait for the start."""
        return all(member.ready or member.over for member in self.members)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return all(member.over for member in self.members)

    @property
    def failure(self) -> str:
        """Why records cannot be written; empty: they can."""
        return next((member.failure for member in self.members if member.failure), "")

    @property
    def lost(self) -> tuple[str, ...]:
        """Which workers died, in words."""
        return tuple(member.lost for member in self.members if member.lost)

    @property
    def load(self) -> Load:
        """What all workers had to bear."""
        load = Load()
        for member in self.members:
            if member.ended is not None:
                load.merge(member.ended.load)
        return load

    def start(self, start_ns: int) -> None:
        """Let the schedule count from this instant (UTC epoch ns)."""
        self._tell(Start(start_ns))

    def halt(self, grace_ns: int) -> None:
        """Let nobody send any more, and give up what is in flight after a time (ns)."""
        self._tell(Halt(grace_ns))

    def listen(self, timeout_s: float) -> Iterator[pa.RecordBatch]:
        """Hear what workers have to say, for so long at most, and give their new records."""
        waiting = {
            source: member
            for member in self.members
            if not member.over
            for source in (member.connection, member.process.sentinel)
        }
        for source in wait(list(waiting), timeout_s):
            member = waiting[source]  # type: ignore[index]
            if source is member.connection:
                yield from self._hear(member)
            elif not member.over and not member.connection.poll():
                self._lose(member)

    def dismiss(self) -> None:
        """Wait until all processes are gone; one that hangs is killed."""
        for member in self.members:
            member.connection.close()
            if member.tail is not None:
                member.tail.close()
            member.process.join(5)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()
            member.process.close()

    def _hear(self, member: Member) -> Iterator[pa.RecordBatch]:
        try:
            message = member.connection.recv()
        except (EOFError, ConnectionResetError):
            self._lose(member)
            return
        if isinstance(message, Ready):
            member.ready = True
            member.tail = RecordTail(member.file)
        elif isinstance(message, Failed):
            member.failure = message.reason
        elif isinstance(message, Progress | Ended):
            member.sent = message.sent
            if member.tail is not None:
                yield from member.tail.read(message.file_size)
            if isinstance(message, Ended):
                member.ended = message

    def _lose(self, member: Member) -> None:
        member.process.join(1)
        member.lost = (
            f"worker {member.number} died (exit code {member.process.exitcode}): its requests are"
            " missing from then on"
        )

    def _tell(self, message: Start | Halt) -> None:
        for member in self.members:
            if not member.over:
                with suppress(BrokenPipeError):
                    member.connection.send(message)
