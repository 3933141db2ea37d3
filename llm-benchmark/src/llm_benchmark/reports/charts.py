"""Charts as SVG: lines and bands over time, distributions, stacked bars.

Colours and fonts come from the page's style sheet; every chart says in words what it shows.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 720.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 12.0, 14.0, 36.0
FEW = 60


@dataclass(frozen=True, slots=True)
class Line:
    """Values to be joined by a line.

    Attributes:
        name: What the legend says.
        x: Places, ascending.
        y: Values; None leaves a gap.
        low: Lower edge of a band to the line's value ``y``; None: no band.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows.

    Attributes:
        title: Its heading.
        x_name: What lies along the x axis, with its unit.
        y_name: What lies along the y axis, with its unit.
        lines: The lines.
        shaded: Stretches of x to set apart.
        log_x: Whether equal distances in x are equal ratios.
        stacked: Whether lines are areas upon each other.
        steps: Whether values hold until the next place.
    """

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    shaded: Sequence[tuple[float, float]] = field(default_factory=tuple)
    log_x: bool = False
    stacked: bool = False
    steps: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            factors = (1, 2, 5) if self.high < 1000 * self.low else (1,)
            every = [one * 10.0**power for power in powers for one in factors]
            return [tick for tick in every if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * one for one in (1, 2, 5, 10) if size * one >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def draw(chart: Chart) -> str:
    """Return a chart as an ``svg`` element; one without any value says so."""
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
            "role": "img",
            "aria-label": _in_words(chart),
        },
    )
    lines = _stack(chart.lines) if chart.stacked else list(chart.lines)
    xs = [x for line in lines for x, y in zip(line.x, line.y, strict=True) if y is not None]
    ys = [y for line in lines for y in line.y if y is not None]
    if not ys:
        _text(root, WIDTH / 2, HEIGHT / 2, "no data", "middle")
        return ET.tostring(root, encoding="unicode")
    x_scale = _x_scale(xs, chart)
    y_scale = _Scale(0.0, max(ys) * 1.05 or 1.0, HEIGHT - BOTTOM, TOP)
    for start, end in chart.shaded:
        _shade(root, x_scale, start, end)
    _axes(root, chart, x_scale, y_scale)
    order = reversed(list(enumerate(lines))) if chart.stacked else enumerate(lines)
    for number, line in order:
        _draw_line(root, line, number, x_scale, y_scale, chart)
    return ET.tostring(root, encoding="unicode")


def legend(chart: Chart) -> list[tuple[str, str]]:
    """Return class and name of each line, for a legend beside the chart."""
    return [(f"c{number % 8}", line.name) for number, line in enumerate(chart.lines)]


def number(value: float) -> str:
    """Return a number as people read it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _in_words(chart: Chart) -> str:
    told = []
    for line in chart.lines:
        values = [value for value in line.y if value is not None]
        if values:
            told.append(f"{line.name} from {number(min(values))} to {number(max(values))}")
    return f"{chart.title}, {chart.y_name} over {chart.x_name}: {'; '.join(told) or 'no data'}"


def _stack(lines: Sequence[Line]) -> list[Line]:
    stacked: list[Line] = []
    below = [0.0] * (len(lines[0].x) if lines else 0)
    for line in lines:
        below = [base + (value or 0.0) for base, value in zip(below, line.y, strict=True)]
        stacked.append(Line(line.name, line.x, list(below)))
    return stacked


def _x_scale(xs: list[float], chart: Chart) -> _Scale:
    ends = [x for stretch in chart.shaded for x in stretch]
    low, high = min(xs + ends), max(xs + ends)
    if chart.log_x:
        low = max(low, high / 1e6)
        high = max(high, low * 1.1)
    elif high <= low:
        high = low + 1
    return _Scale(low, high, LEFT, WIDTH - RIGHT, chart.log_x)


def _axes(root: ET.Element, chart: Chart, x_scale: _Scale, y_scale: _Scale) -> None:
    for tick in y_scale.ticks():
        y = y_scale(tick)
        ET.SubElement(
            root,
            "line",
            {
                "class": "grid",
                "x1": f"{LEFT}",
                "x2": f"{WIDTH - RIGHT}",
                "y1": f"{y}",
                "y2": f"{y}",
            },
        )
        _text(root, LEFT - 6, y + 4, number(tick), "end")
    for tick in x_scale.ticks():
        _text(root, x_scale(tick), HEIGHT - BOTTOM + 16, number(tick), "middle")
    _text(root, WIDTH - RIGHT, HEIGHT - 4, chart.x_name, "end")
    _text(root, 2, TOP - 4, chart.y_name, "start")


def _shade(root: ET.Element, x_scale: _Scale, start: float, end: float) -> None:
    left, right = x_scale(start), x_scale(end)
    ET.SubElement(
        root,
        "rect",
        {
            "class": "apart",
            "x": f"{left}",
            "y": f"{TOP}",
            "width": f"{max(0.0, right - left):.2f}",
            "height": f"{HEIGHT - TOP - BOTTOM}",
        },
    )


def _draw_line(
    root: ET.Element, line: Line, place: int, x_scale: _Scale, y_scale: _Scale, chart: Chart
) -> None:
    group = ET.SubElement(root, "g", {"class": f"c{place % 8}"})
    for run in _runs(line):
        points = [(x_scale(x), y_scale(y)) for x, y, _ in run]
        if chart.steps:
            points = _as_steps(points)
        if chart.stacked or line.low is not None:
            lower = [(x_scale(x), y_scale(low)) for x, _, low in reversed(run)]
            ET.SubElement(group, "path", {"class": "area", "d": f"{_path(points + lower)}Z"})
        if not chart.stacked:
            ET.SubElement(group, "path", {"class": "line", "d": _path(points)})
        # Where dots would hide the line they are there for the pointer only.
        kind = "dot" if len(run) <= FEW else "unseen"
        for x, y, _ in run:
            dot = {"class": kind, "cx": f"{x_scale(x)}", "cy": f"{y_scale(y)}", "r": "2.5"}
            mark = ET.SubElement(group, "circle", dot)
            ET.SubElement(mark, "title").text = f"{line.name}: {number(y)} at {number(x)}"


def _runs(line: Line) -> list[list[tuple[float, float, float]]]:
    """Return the stretches without gaps, as (x, y, lower edge)."""
    runs: list[list[tuple[float, float, float]]] = [[]]
    low = line.low if line.low is not None else [0.0] * len(line.y)
    for x, y, edge in zip(line.x, line.y, low, strict=True):
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y, edge or 0.0))
    return [run for run in runs if run]


def _as_steps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    steps = points[:1]
    for (_, before), (x, y) in itertools.pairwise(points):
        steps += [(x, before), (x, y)]
    return steps


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def _text(root: ET.Element, x: float, y: float, text: str, anchor: str) -> None:
    ET.SubElement(root, "text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}).text = text
