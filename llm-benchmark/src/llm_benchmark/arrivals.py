"""When requests are due: the whole schedule is computed before the run.

A schedule is an int64 array of shape (requests,): offsets from the start of the run in nanoseconds,
ascending, each at or above zero and below the duration.

- constant: evenly spaced, the first at zero.
- poisson: independent of each other, exponential gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_benchmark.clock import SECOND_NS
from llm_benchmark.seeding import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def constant(rate: float, duration_ns: int, _rng: np.random.Generator) -> NDArray[np.int64]:
    """Return evenly spaced offsets, request i at i / rate.

    Args:
        rate: Requests per second, above zero.
        duration_ns: Length of the run in ns.

    Returns:
        Offsets in ns.
    """
    count = int(np.ceil(rate * duration_ns / SECOND_NS)) + 1
    offsets = np.round(np.arange(count) * (SECOND_NS / rate)).astype(np.int64)
    return offsets[offsets < duration_ns]


def poisson(rate: float, duration_ns: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the arrivals of a homogeneous Poisson process.

    Given their number, which is Poisson with mean rate by duration, the arrivals of such a process
    are independent and uniform over the duration (Kingman, Poisson Processes, 1993, section 2.4).

    Args:
        rate: Mean requests per second, above zero.
        duration_ns: Length of the run in ns.
        rng: Source of the randomness.

    Returns:
        Offsets in ns; none when chance says so.
    """
    count = rng.poisson(rate * duration_ns / SECOND_NS)
    return np.sort(rng.integers(0, duration_ns, count, dtype=np.int64))


ARRIVALS: dict[str, Callable[[float, int, np.random.Generator], NDArray[np.int64]]] = {
    "constant": constant,
    "poisson": poisson,
}


def schedule(arrivals: str, rate: float, duration_ns: int, seed: int) -> NDArray[np.int64]:
    """Return the offsets at which requests are due.

    Args:
        arrivals: A name in ``ARRIVALS``.
        rate: Requests per second, above zero.
        duration_ns: Length of the run in ns.
        seed: The run's seed; the same seed gives the same schedule.

    Returns:
        Offsets from the start of the run in ns, ascending.
    """
    return ARRIVALS[arrivals](rate, duration_ns, generator(seed, "arrivals"))
