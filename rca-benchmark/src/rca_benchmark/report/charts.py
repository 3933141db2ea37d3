"""The charts of the report: Avg@5 with intervals, against cost, and over a sweep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.report.markup import Element, element, quantity, share, told
from rca_benchmark.report.svg import (
    CHARACTER,
    LINE,
    Scale,
    canvas,
    line,
    side_labels,
    spread,
    text,
    x_axis,
    y_axis,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Row = dict[str, Any]
WIDTH: Final = 980
_COLOURS, _DASHES = 6, 4


def interval_chart(rows: Sequence[Row], title: str) -> Element:
    """A line per method: its Avg@5, its interval, and what chance would reach.

    Args:
        rows: of the leaderboard, best first.
        title: names the picture.
    """
    left = _label_width(rows)
    bottom = 10 + 20 * len(rows)
    scale = Scale(0, 1, left, WIDTH - 20)
    picture = canvas(WIDTH, bottom + 40, title, class_="chart intervals")
    picture.extend(x_axis(scale, 5, bottom, "Avg@5"))
    for number, row in enumerate(rows):
        y = 20 + 20 * number
        picture.extend(_interval(row, scale, y))
        picture.append(text(str(row["method"]), left - 10, y, "end"))
    return picture


def cost_chart(rows: Sequence[Row], cost: str, axis: str, title: str) -> Element:
    """Avg@5 against what a case costs, on a logarithmic axis.

    Args:
        rows: of the leaderboard, with the cost; rows without it are left out.
        cost: the column.
        axis: what the column holds and its unit.
        title: names the picture.
    """
    known = [row for row in rows if not math.isnan(row[cost]) and row[cost] > 0]
    names = _label_width(known)
    bottom = max(300.0, 20 + LINE * len(known))
    right = WIDTH - names - 30
    x = spread([row[cost] for row in known], 50, right, log=True)
    y = Scale(0, 1, bottom, 10)
    picture = canvas(WIDTH, bottom + 40, title, class_="chart costs")
    picture.extend([*x_axis(x, 10, bottom, axis), *y_axis(y, 50, right)])
    chance = y(sum(row["chance_avg5"] for row in known) / len(known))
    picture.append(line(50, chance, right, chance, "chance"))
    points = [(str(row["method"]), x(row[cost]), y(row["avg5"])) for row in known]
    picture.extend(side_labels(points, right + 25, 10, bottom))
    for row, (name, at_x, at_y) in zip(known, points, strict=True):
        note = f"{name}: Avg@5 {share(row['avg5'])}, {quantity(row[cost])} {axis}"
        picture.append(_dot(row, at_x, at_y, note))
    return picture


def sweep_chart(
    curves: Mapping[str, Sequence[float]],
    chance: Sequence[float],
    values: Sequence[str],
    axis: str,
    title: str,
) -> Element:
    """A line per method: Avg@5 over the values of a sweep, at equal distances.

    Args:
        curves: Avg@5 of each method at each value; NaN where it was not run.
        chance: the same for chance.
        values: what was swept over, in order, two or more.
        axis: what was swept and its unit.
        title: names the picture.
    """
    bottom = max(300.0, 20 + LINE * len(curves))
    right = WIDTH - max(len(name) for name in curves) * CHARACTER - 30
    x = Scale(0, len(values) - 1, 60, right)
    y = Scale(0, 1, bottom, 10)
    picture = canvas(WIDTH, bottom + 40, title, class_="chart sweep")
    picture.extend(y_axis(y, 50, right))
    picture.extend(
        text(value, x(at), bottom + 12, "middle", "tick") for at, value in enumerate(values)
    )
    picture.append(text(axis, (60 + right) / 2, bottom + 29, "middle"))
    picture.append(_curve("chance", chance, x, y, "chance"))
    ends = []
    for number, (name, curve) in enumerate(curves.items()):
        classes = f"curve c{number % _COLOURS} d{number // _COLOURS % _DASHES}"
        picture.append(_curve(name, curve, x, y, classes))
        last = max(at for at, value in enumerate(curve) if not math.isnan(value))
        ends.append((name, x(last), y(curve[last])))
    picture.extend(side_labels(ends, right + 25, 10, bottom))
    return picture


def _interval(row: Row, scale: Scale, y: float) -> Iterator[Element]:
    low, high, chance = row["avg5_low"], row["avg5_high"], row["chance_avg5"]
    if not math.isnan(low):
        yield line(scale(low), y, scale(high), y, "interval")
    yield line(scale(chance), y - 10, scale(chance), y + 10, "chance")
    note = (
        f"{row['method']}: Avg@5 {share(row['avg5'])} ({share(low)} to {share(high)}), "
        f"chance {share(chance)}, {row['cases']} cases, {row['failed']} failed"
    )
    yield _dot(row, scale(row["avg5"]), y, note)


def _dot(row: Row, x: float, y: float, note: str) -> Element:
    """Filled where the method is told the inject time, else hollow."""
    note = f"{note}; told the inject time: {told(row['uses_inject_time'])}"
    classes = "dot" if row["uses_inject_time"] is True else "dot blind"
    return element("circle", element("title", note), cx=x, cy=y, r=4.5, class_=classes)


def _curve(name: str, values: Sequence[float], x: Scale, y: Scale, classes: str) -> Element:
    places = " ".join(
        f"{x(at):.1f},{y(value):.1f}" for at, value in enumerate(values) if not math.isnan(value)
    )
    return element("polyline", element("title", name), points=places, class_=classes, fill="none")


def _label_width(rows: Sequence[Row]) -> float:
    return max(len(str(row["method"])) for row in rows) * CHARACTER + 15
