"""An alarm clock for event loops that rings to some ten microseconds.

The loops' own timers tick in milliseconds: libuv, and uvloop with it, counts whole ones, and epoll
waits for whole ones. Linux' timer file descriptors (timerfd_create(2)) tell the loop of their
expiry as if data had come, and keep nanoseconds. Elsewhere the loop's own timer has to do.
"""

from __future__ import annotations

import ctypes
import os
import platform
import time
from typing import TYPE_CHECKING, Protocol

from llm_benchmark.clock import SECOND_NS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

TFD_TIMER_ABSTIME = 1


class Alarm(Protocol):
    """Calls back once at the instant that was last set."""

    def set(self, instant_ns: int) -> None:
        """Ring at this instant of ``time.monotonic_ns``, or at once where it is past.

        An instant that was set before is forgotten.
        """

    def close(self) -> None:
        """Never ring again."""


def make_alarm(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> Alarm:
    """Return the most precise alarm that this system has.

    Args:
        loop: The event loop in which to call back.
        callback: What to call; it may set the alarm anew.
    """
    kind = _TimerDescriptor if platform.system() == "Linux" else _LoopTimer
    return kind(loop, callback)


class _TimerDescriptor:
    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._library = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = self._library.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self._descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")
        # struct itimerspec: no repetition, then the instant as seconds and nanoseconds.
        self._instant = (ctypes.c_long * 4)()
        self._settime = self._library.timerfd_settime
        self._settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._address = ctypes.addressof(self._instant)
        loop.add_reader(self._descriptor, self._ring)

    def set(self, instant_ns: int) -> None:
        # Zero would switch the timer off instead of letting it ring.
        self._instant[2], self._instant[3] = divmod(max(instant_ns, 1), SECOND_NS)
        self._settime(self._descriptor, TFD_TIMER_ABSTIME, self._address, None)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _ring(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            # Set anew after it had expired and before the loop came round.
            return
        self._callback()


class _LoopTimer:
    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def set(self, instant_ns: int) -> None:
        self.close()
        delay_s = max(0, instant_ns - time.monotonic_ns()) / SECOND_NS
        self._handle = self._loop.call_later(delay_s, self._callback)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
