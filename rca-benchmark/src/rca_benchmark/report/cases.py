"""The page of a case: the indicators that moved most, and the first suspects of each method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import service_of
from rca_benchmark.report.markup import Element, element, figure, quantity, table, told
from rca_benchmark.report.svg import Scale, canvas, line, spread, text, trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rca_benchmark.case import Case

SHOWN: Final = 8
TOP: Final = 5
_COLUMNS: Final = 4
_WIDTH, _HEIGHT = 240.0, 140.0
_BINS: Final = 100
_SECOND_NS: Final = 1_000_000_000


def case_page(rows: Sequence[dict[str, Any]], case: Case | None) -> Element:
    """A case, collapsed.

    Args:
        rows: of the results, one per method.
        case: its telemetry, where the data set is at hand.
    """
    first = rows[0]
    hits = sum(_place(row) == "1" for row in rows)
    summary = element(
        "summary",
        element("strong", str(first["case"])),
        f": {first['fault']} on {first['target']}; named first by {hits} of {len(rows)} methods; "
        f"{first['candidates']} candidates, chance {1 / first['candidates']:.2f}",
    )
    page = element("details", summary, id=anchor(str(first["dataset"]), str(first["case"])))
    if case is not None:
        page.append(_movements(case))
    page.append(_suspects(rows))
    return page


def anchor(*parts: str) -> str:
    """A name to link to; it holds no blank."""
    return "-".join(part.replace(" ", "-") for part in parts)


def movement(values: NDArray[np.float64], after: NDArray[np.bool_]) -> float:
    """How far an indicator moves with the fault, in units of its spread before it.

    |mean after - median before| / max(1.4826 MAD before, 1 % of the range, 1 % of the median);
    the last two because an indicator may be all but constant before. 0 where one side has no
    sample.
    """
    known = np.isfinite(values)
    before, later = values[known & ~after], values[known & after]
    if not before.size or not later.size:
        return 0.0
    center = float(np.median(before))
    spread_before = 1.4826 * float(np.median(np.abs(before - center)))
    scale = max(spread_before, 0.01 * float(np.ptp(values[known])), 0.01 * abs(center))
    return abs(float(later.mean()) - center) / scale if scale > 0 else 0.0


def _movements(case: Case) -> Element:
    """Small multiples: one panel per indicator, the fault shaded from the inject time on."""
    seen, truth = case.observation, case.truth
    start = truth.injection.active_ns
    times = seen.metrics["time"].to_numpy()
    end = truth.injection.removed_ns or int(times[-1])
    window = times <= end
    after = times[window] >= start
    moved = {
        name: movement(seen.metrics[name].to_numpy()[window], after) for name in seen.indicators
    }
    moving = [name for name in moved if moved[name] > 0]
    if not moving:
        return element("p", f"None of {len(moved)} indicators moved.")
    chosen = sorted(moving, key=lambda name: (-moved[name], name))[:SHOWN]
    title = f"indicators of {case.name} that moved most"
    picture = panels(seen.metrics, chosen, (start, end), title, truth.service)
    caption = (
        f"The {len(chosen)} of {len(moved)} indicators that moved most from before the fault to "
        f"during it. The line marks the inject time (0 s), the shade the fault; indicators of "
        f"the true service {truth.service} are blue and bold."
    )
    return figure(picture, caption)


def panels(
    metrics: pd.DataFrame,
    names: Sequence[str],
    fault_ns: tuple[int, int],
    title: str,
    service: str,
) -> Element:
    """Small multiples of indicators over time, the fault shaded.

    Args:
        metrics: ``time`` and one column per indicator.
        names: of the indicators, in order.
        fault_ns: from when to when, UTC epoch nanoseconds.
        title: names the picture.
        service: whose indicators are blue and bold.
    """
    start, end = fault_ns
    seconds = (metrics["time"].to_numpy() - start) / _SECOND_NS
    rows = -(-len(names) // _COLUMNS)
    picture = canvas(_COLUMNS * _WIDTH, rows * _HEIGHT, title, class_="chart moved")
    fault = (0.0, (end - start) / _SECOND_NS)
    for number, name in enumerate(names):
        panel = _panel(metrics[name].to_numpy(), seconds, fault, name)
        x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        panel.set("transform", f"translate({x:.0f} {y:.0f})")
        panel.set("class", "culprit" if service_of(name) == service else "other")
        picture.append(panel)
    return picture


def _panel(
    values: NDArray[np.float64], seconds: NDArray[np.float64], fault: tuple[float, float], name: str
) -> Element:
    known = values[np.isfinite(values)]
    x = Scale(float(seconds[0]), float(seconds[-1]), 8, _WIDTH - 12)
    y = spread([float(known.min()), float(known.max())], _HEIGHT - 44, 24)
    panel = element("g", element("title", name))
    top, bottom = 20.0, _HEIGHT - 40
    shade = x(fault[1]) - x(fault[0])
    panel.append(element("rect", x=x(0), y=top, width=shade, height=bottom - top, class_="fault"))
    panel.append(line(x(0), top, x(0), bottom, "inject"))
    panel.append(trace(_thinned(seconds, values), x, y))
    short = name if len(name) <= 34 else f"{name[:15]}…{name[-18:]}"
    panel.append(text(short, 8, 9, class_="name"))
    span = f"from {quantity(float(known.min()))} to {quantity(float(known.max()))}"
    panel.append(text(f"{quantity(x.low)} s", 8, bottom + 9, class_="tick"))
    panel.append(text(span, 8, bottom + 23, class_="tick"))
    panel.append(text(f"{quantity(x.high)} s", _WIDTH - 12, bottom + 9, "end", "tick"))
    return panel


def _thinned(
    seconds: NDArray[np.float64], values: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """At most two points per bin, its least and greatest; a bin without a sample is a gap."""
    if len(values) <= 2 * _BINS:
        return list(zip(seconds.tolist(), values.tolist(), strict=True))
    points: list[tuple[float, float]] = []
    for rows in np.array_split(np.arange(len(values)), _BINS):
        known = rows[np.isfinite(values[rows])]
        if not known.size:
            points.append((float(seconds[rows[0]]), float("nan")))
            continue
        ends = {int(known[values[known].argmin()]), int(known[values[known].argmax()])}
        points.extend((float(seconds[row]), float(values[row])) for row in sorted(ends))
    return points


def _suspects(rows: Sequence[dict[str, Any]]) -> Element:
    header = ["method", "told the inject time", "rank of the true service"]
    header += [f"{place}." for place in range(1, TOP + 1)]
    return table(header, [_suspects_of(row) for row in rows], "words suspects")


def _place(row: dict[str, Any]) -> str:
    return "not ranked" if pd.isna(row["rank_service"]) else str(row["rank_service"])


def _suspects_of(row: dict[str, Any]) -> list[Element | str]:
    start: list[Element | str] = [str(row["method"]), told(row["uses_inject_time"])]
    if row["status"] != "ok":
        reason = element("td", f"{row['status']}: {row['reason']}", colspan=TOP + 1, class_="bad")
        return [*start, reason]
    names: list[Element | str] = [
        element("td", name, class_="hit" if name == row["target"] else None)
        for name in list(row["services"])[:TOP]
    ]
    return [*start, _place(row), *names, *[""] * (TOP - len(names))]
