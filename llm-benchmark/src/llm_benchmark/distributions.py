"""Random numbers as options name them: lengths in tokens, and times.

=========================================  ==========================================
``64``                                     always 64
``uniform:min=32,max=128``                 every whole number from 32 to 128 alike
``normal:mean=64,sd=16,min=1,max=256``     bell-shaped; ``min`` and ``max`` may be left out
``exponential:mean=64,max=512``            many small, few large; likewise
=========================================  ==========================================

Draws are rounded, and those outside of the bounds moved to the nearer one, not drawn again: a bound
collects what lies beyond it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LAWS = {
    "constant": ({"value"}, set[str]()),
    "uniform": ({"min", "max"}, set[str]()),
    "normal": ({"mean", "sd"}, {"min", "max"}),
    "exponential": ({"mean"}, {"min", "max"}),
}
EXAMPLE = (
    "give a number, or as in uniform:min=32,max=128, normal:mean=64,sd=16, exponential:mean=64"
)
MOST = 2**53


@dataclass(frozen=True, slots=True)
class Distribution:
    """A law of whole numbers.

    Attributes:
        law: A name in ``LAWS``.
        center: Its mean; for ``uniform`` the middle of its bounds.
        deviation: Standard deviation of ``normal``; zero for the others.
        least: Smallest number.
        most: Largest number.
        text: What it was read from.
    """

    law: str
    center: float
    deviation: float
    least: int
    most: int
    text: str

    @property
    def constant(self) -> int | None:
        """The number that every draw gives; None where draws differ."""
        return self.least if self.least == self.most else None

    @property
    def mean(self) -> float:
        """The mean, without regard to the bounds."""
        return self.center

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return this many numbers, shape (count,); a constant law uses no randomness."""
        if self.constant is not None:
            return np.full(count, self.constant, np.int64)
        if self.law == "uniform":
            return rng.integers(self.least, self.most, count, endpoint=True)
        if self.law == "normal":
            drawn = rng.normal(self.center, self.deviation, count)
        else:
            drawn = rng.exponential(self.center, count)
        return np.clip(np.rint(drawn), self.least, self.most).astype(np.int64)

    def __str__(self) -> str:
        return self.text


def constant(value: int) -> Distribution:
    """Return the law that always gives one number."""
    return Distribution("constant", value, 0.0, value, value, str(value))


def parse(text: str, read: Callable[[str], int] = int, *, least: int = 1) -> Distribution:
    """Read a law.

    Args:
        text: As in the table above.
        read: Reads one number of it, such as ``units.duration``.
        least: Smallest number allowed, and the lower bound where none is given.

    Raises:
        argparse.ArgumentTypeError: The text is no law.
    """
    law, colon, rest = text.partition(":")
    values = _read_values(text, rest if colon else f"value={text}", read)
    law = law if colon else "constant"
    if law not in LAWS:
        raise argparse.ArgumentTypeError(f"{law!r} is none of {', '.join(LAWS)}; {EXAMPLE}")
    needed, optional = LAWS[law]
    if not needed <= values.keys() <= needed | optional:
        raise argparse.ArgumentTypeError(
            f"{text!r}: {law} takes {', '.join(sorted(needed | optional))}; {EXAMPLE}"
        )
    if law == "constant":
        low = high = values["value"]
    else:
        low, high = values.get("min", least), values.get("max", MOST)
    if low > high or low < least or values.get("mean", least) < 0 or values.get("sd", 0) < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r}: bounds must be in order and at least {least}, others not negative; "
            + EXAMPLE
        )
    center = values.get("mean", (low + high) / 2)
    return Distribution(law, float(center), float(values.get("sd", 0)), low, high, text)


def _read_values(text: str, rest: str, read: Callable[[str], int]) -> dict[str, int]:
    values = {}
    for part in rest.split(","):
        name, equals, value = part.partition("=")
        try:
            values[name.strip()] = read(value.strip())
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be read; {EXAMPLE}") from error
        if not equals:
            raise argparse.ArgumentTypeError(f"{text!r}: {part!r} has no '='; {EXAMPLE}")
    return values
