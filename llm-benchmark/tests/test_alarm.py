from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import uvloop

from llm_benchmark import alarm
from llm_benchmark.alarm import make_alarm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MS = 1_000_000


@pytest.fixture(params=["Linux", "Darwin"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The alarm of Linux, and the one for elsewhere."""
    monkeypatch.setattr(alarm.platform, "system", lambda: request.param)
    return str(request.param)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, system: str) -> Callable[..., object]:
    def in_loop(task: Callable[[], Awaitable[object]]) -> object:
        loop = request.param()
        try:
            return loop.run_until_complete(task())
        finally:
            loop.close()

    return in_loop


def test_it_rings_once_and_never_early(run: Callable[..., object], system: str) -> None:
    async def task() -> None:
        rung: list[int] = []
        clock = make_alarm(asyncio.get_running_loop(), lambda: rung.append(time.monotonic_ns()))
        for _ in range(5):
            due = time.monotonic_ns() + 7 * MS
            clock.set(due)
            await asyncio.sleep(0.03)
            assert len(rung) == 1
            # Loops count in milliseconds and round to the nearest.
            assert rung.pop() >= due - (0 if system == "Linux" else MS)
        clock.close()

    run(task)


def test_the_latest_instant_counts(run: Callable[..., object]) -> None:
    async def task() -> None:
        rung: list[int] = []
        clock = make_alarm(asyncio.get_running_loop(), lambda: rung.append(time.monotonic_ns()))
        clock.set(time.monotonic_ns() + 5 * MS)
        later = time.monotonic_ns() + 40 * MS
        clock.set(later)
        await asyncio.sleep(0.02)
        assert rung == []
        await asyncio.sleep(0.05)
        assert len(rung) == 1
        clock.close()

    run(task)


def test_a_past_instant_rings_at_once_and_a_closed_alarm_never(run: Callable[..., object]) -> None:
    async def task() -> None:
        rung: list[int] = []
        clock = make_alarm(asyncio.get_running_loop(), lambda: rung.append(1))
        clock.set(0)
        await asyncio.sleep(0.01)
        assert rung == [1]
        clock.set(time.monotonic_ns() + MS)
        clock.close()
        clock.close()
        await asyncio.sleep(0.02)
        assert rung == [1]

    run(task)
