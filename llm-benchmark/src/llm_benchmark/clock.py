"""One clock for a run: UTC epoch nanoseconds that never step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """The monotonic clock, shifted once to the wall clock.

    Instants join with telemetry because they are epoch nanoseconds; their differences are durations
    because nobody can set the clock that they come from.

    Attributes:
        offset_ns: Wall clock less monotonic clock at the start of the run, ns.
    """

    offset_ns: int

    @classmethod
    def start(cls) -> Clock:
        """Return a clock that agrees with the wall clock now."""
        return cls(time.time_ns() - time.monotonic_ns())

    def now(self) -> int:
        """Return the present instant, UTC epoch ns."""
        return time.monotonic_ns() + self.offset_ns

    def monotonic(self, instant_ns: int) -> int:
        """Return an instant (UTC epoch ns) as ``time.monotonic_ns`` will show it."""
        return instant_ns - self.offset_ns

    def drift_ns(self) -> int:
        """Return how far the wall clock has moved away since the start, ns: steps and slewing."""
        return time.time_ns() - self.now()


def iso(instant_ns: int) -> str:
    """Return an instant (UTC epoch ns) as ISO 8601 with microseconds and ``Z``."""
    whole, part = divmod(instant_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{part // 1000:06d}Z"
