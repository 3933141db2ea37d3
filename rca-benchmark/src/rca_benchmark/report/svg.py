"""The parts of a chart: scales, axes, labels beside the plot. Colours come from the page's CSS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rca_benchmark.report.markup import Element, element, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CHARACTER: Final = 6.6  # mean width of a letter of the labels, in pixels
LINE: Final = 15.0  # distance of two lines of labels


@dataclass(frozen=True)
class Scale:
    """From a value to a place in pixels.

    Attributes:
        low: the value at ``start``.
        high: the value at ``end``.
        start: pixels.
        end: pixels.
        log: whether equal distances are equal ratios.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between low and high: 1, 2, 5 times powers of ten, or steps of these."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            factors = (1, 2, 5) if self.high < 100 * self.low else (1,)
            every = [factor * 10.0**power for power in powers for factor in factors]
            return [tick for tick in every if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def spread(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Scale:
    """A scale that holds all values; a logarithmic one leaves room at both ends."""
    low, high = min(values), max(values)
    if log:
        return Scale(low / 1.5, high * 1.5, start, end, log=True)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, start, end)


def canvas(width: float, height: float, title: str, *children: Element, class_: str) -> Element:
    """A picture with a name for those who do not see it."""
    return element(
        "svg",
        element("title", title),
        *children,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        style=f"max-width: {width:.0f}px",
        role="img",
        class_=class_,
    )


def text(
    label: str, x: float, y: float, anchor: str = "start", class_: str | None = None
) -> Element:
    """A label whose middle line is at y."""
    return element("text", label, x=x, y=y + 4, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def trace(points: Iterable[tuple[float, float]], x: Scale, y: Scale) -> Element:
    """A line through points, broken where a value is not finite."""
    steps, pen = [], "M"
    for at, value in points:
        if not math.isfinite(value):
            pen = "M"
            continue
        steps.append(f"{pen}{x(at):.1f} {y(value):.1f}")
        pen = "L"
    return element("path", d="".join(steps), class_="trace")


def x_axis(scale: Scale, top: float, bottom: float, title: str) -> Iterator[Element]:
    """Grid lines with their values below, and what is measured."""
    for tick in scale.ticks():
        yield line(scale(tick), top, scale(tick), bottom, "grid")
        yield text(quantity(tick), scale(tick), bottom + 12, "middle", "tick")
    yield text(title, (scale.start + scale.end) / 2, bottom + 29, "middle")


def y_axis(scale: Scale, left: float, right: float) -> Iterator[Element]:
    """Grid lines with their values at the left."""
    for tick in scale.ticks():
        yield line(left, scale(tick), right, scale(tick), "grid")
        yield text(quantity(tick), left - 6, scale(tick), "end", "tick")


def side_labels(
    points: Sequence[tuple[str, float, float]], x: float, top: float, bottom: float
) -> Iterator[Element]:
    """Labels in a column at x, none on another, each joined to its point by a thin line.

    Args:
        points: label and place of each.
        x: where the column begins.
        top: where the column may begin.
        bottom: where it should end.
    """
    ordered = sorted(points, key=lambda point: (point[2], point[0]))
    places: list[float] = []
    for _, _, y in ordered:
        places.append(max(y, places[-1] + LINE if places else top))
    limit = max(bottom, top + LINE * (len(ordered) - 1))
    for number in reversed(range(len(places))):
        places[number] = min(places[number], limit)
        limit = places[number] - LINE
    for (label, from_x, from_y), y in zip(ordered, places, strict=True):
        yield line(from_x, from_y, x - 3, y, "leader")
        yield text(label, x, y)
