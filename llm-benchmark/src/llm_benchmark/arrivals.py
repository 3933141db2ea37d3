"""When requests are due: the whole schedule is computed before the run.

A schedule is an int64 array of shape (requests,): offsets from the start of the run in nanoseconds,
ascending, each at or above zero and below the duration.

Every process is made at unit rate, where time is counted in expected requests, and then mapped to
time by the inverse of the rate's integral (time rescaling: Cinlar, Introduction to Stochastic
Processes, 1975, section 4.7). So each follows stages and ramps.

- constant: evenly spaced, the first at zero.
- poisson: independent of each other, exponential gaps.
- gamma: independent gaps from a gamma distribution; bursty below shape 1, more even above it.
- uniform: independent gaps, uniform between zero and twice the mean.
- burst: all at once, every so often.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llm_benchmark.clock import SECOND_NS
from llm_benchmark.seeding import generator
from llm_benchmark.units import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ARRIVALS = ("constant", "poisson", "gamma", "uniform", "burst")
STAGE = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?@(.+)")


@dataclass(frozen=True, slots=True)
class Stage:
    """A rate, or a linear ramp between two.

    Attributes:
        start_rate: Requests per second at its start.
        end_rate: Requests per second at its end.
        duration_ns: Its length, ns.
    """

    start_rate: float
    end_rate: float
    duration_ns: int

    @property
    def expected(self) -> float:
        """Expected number of requests."""
        return (self.start_rate + self.end_rate) / 2 * self.duration_ns / SECOND_NS


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Read stages such as ``10@30s,10-50@60s,50@2m``: rates and ramps, and how long each.

    Raises:
        argparse.ArgumentTypeError: The text is no such list, or asks for no request at all.
    """
    stages = []
    for part in text.split(","):
        match = STAGE.fullmatch(part.strip())
        if match is None:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no stage; give RATE@TIME or FROM-TO@TIME, as in 10@30s,10-50@60s"
            )
        start_rate = float(match[1])
        end_rate = start_rate if match[2] is None else float(match[2])
        stages.append(Stage(start_rate, end_rate, duration(match[3])))
    if not sum(stage.expected for stage in stages):
        raise argparse.ArgumentTypeError(f"{text!r} asks for no request at all")
    return tuple(stages)


@dataclass(frozen=True, slots=True)
class Profile:
    """The rate over time.

    Attributes:
        stages: One after the other.
    """

    stages: tuple[Stage, ...]

    @property
    def duration_ns(self) -> int:
        """Length of the run, ns."""
        return sum(stage.duration_ns for stage in self.stages)

    @property
    def expected(self) -> float:
        """Expected number of requests."""
        return sum(stage.expected for stage in self.stages)

    @property
    def mean_rate(self) -> float:
        """Requests per second on average."""
        return self.expected / (self.duration_ns / SECOND_NS)

    def expected_until(self, end_ns: int) -> float:
        """Return how many requests are expected until an offset (ns) from the start."""
        total = 0.0
        for stage in self.stages:
            length_ns = min(end_ns, stage.duration_ns)
            rate_at_end = stage.start_rate
            if stage.duration_ns:
                rate_at_end += (stage.end_rate - stage.start_rate) * length_ns / stage.duration_ns
            total += (stage.start_rate + rate_at_end) / 2 * length_ns / SECOND_NS
            end_ns -= length_ns
        return total

    def instants(self, counts: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return when so many requests are expected to have come.

        Args:
            counts: Expected requests since the start, ascending, below ``expected``; shape (n,).

        Returns:
            Offsets from the start of the run in ns, shape (n,).
        """
        expected = np.array([stage.expected for stage in self.stages])
        ends = np.cumsum(expected)
        places = np.minimum(np.searchsorted(ends, counts, side="right"), len(ends) - 1)
        first, last, length = _columns(self.stages)
        slope = np.divide(last - first, length, out=np.zeros_like(length), where=length > 0)
        inside = counts - (ends - expected)[places]
        # The root of first * t + slope * t**2 / 2 = inside, in the form that no small slope harms.
        root = np.sqrt(np.maximum(first[places] ** 2 + 2 * slope[places] * inside, 0))
        below = first[places] + root
        offsets_s = np.divide(2 * inside, below, out=np.zeros_like(below), where=below > 0)
        starts_ns = np.cumsum([0] + [stage.duration_ns for stage in self.stages])[:-1]
        return np.asarray(starts_ns[places] + np.round(offsets_s * SECOND_NS).astype(np.int64))


def _columns(stages: tuple[Stage, ...]) -> tuple[NDArray[np.float64], ...]:
    rows = [(stage.start_rate, stage.end_rate, stage.duration_ns / SECOND_NS) for stage in stages]
    first, last, length = np.array(rows, np.float64).T
    return first, last, length


def steady(rate: float, duration_ns: int) -> Profile:
    """Return the profile of one rate."""
    return Profile((Stage(rate, rate, duration_ns),))


def schedule(
    arrivals: str,
    profile: Profile,
    seed: int,
    *,
    burstiness: float = 1.0,
    burst_every_ns: int = SECOND_NS,
) -> NDArray[np.int64]:
    """Return the offsets at which requests are due.

    Args:
        arrivals: A name in ``ARRIVALS``.
        profile: The rate over time.
        seed: The run's seed; the same seed gives the same schedule.
        burstiness: Shape of the gamma distribution, above zero: its squared coefficient of
            variation is 1 / shape, so 1 is Poisson.
        burst_every_ns: Time between bursts, ns.

    Returns:
        Offsets from the start of the run in ns, ascending.
    """
    rng = generator(seed, "arrivals")
    if arrivals == "burst":
        return _bursts(profile, burst_every_ns)
    counts: NDArray[np.float64]
    if arrivals == "constant":
        counts = np.arange(np.ceil(profile.expected), dtype=np.float64)
    elif arrivals == "poisson":
        counts = _poisson(profile.expected, rng)
    elif arrivals == "gamma":
        counts = _renewals(
            profile.expected, lambda size: rng.gamma(burstiness, 1 / burstiness, size)
        )
    else:
        counts = _renewals(profile.expected, lambda size: rng.uniform(0, 2, size))
    offsets = profile.instants(counts)
    return offsets[offsets < profile.duration_ns]


def _poisson(expected: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the arrivals of a Poisson process of unit rate.

    Given their number, they are independent and uniform (Kingman, Poisson Processes, 1993, 2.4).
    """
    return np.sort(rng.uniform(0, expected, rng.poisson(expected)))


def _renewals(
    expected: float, draw_gaps: Callable[[int], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the arrivals of a renewal process that begins at zero, the first after one gap."""
    parts = [np.zeros(1)]
    size = max(16, int(expected * 1.1))
    while parts[-1][-1] < expected:
        parts.append(parts[-1][-1] + np.cumsum(draw_gaps(size)))
        size = max(16, size // 8)
    counts = np.concatenate(parts)[1:]
    return counts[counts < expected]


def _bursts(profile: Profile, every_ns: int) -> NDArray[np.int64]:
    """Return bursts: at each instant as many requests as are expected until the next.

    What is left of a request is carried on, so that the sum is right.
    """
    instants = np.arange(0, profile.duration_ns, every_ns, dtype=np.int64)
    ends = np.minimum(instants + every_ns, profile.duration_ns)
    totals = np.floor(np.array([profile.expected_until(int(end)) for end in ends]) + 1e-9)
    sizes = np.diff(totals, prepend=0).astype(np.int64)
    return np.repeat(instants, sizes)
