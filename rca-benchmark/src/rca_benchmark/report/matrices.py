"""Coloured tables: method x fault, and which method beats which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.evaluation.scoring import ALL
from rca_benchmark.report.leaderboard import inject_time_users, records
from rca_benchmark.report.markup import NONE, Element, element, share, table, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

CLEAR: Final = 0.05  # a difference with a smaller corrected p is coloured
_DEEPEST: Final = 70  # per cent of the colour in the strongest cell; the text stays readable


def heat_map(board: pd.DataFrame, by: str) -> Element:
    """Avg@5 of each method for each fault or target, coloured by its lift over chance.

    Args:
        board: rows of one data set and level, best method first.
        by: ``fault`` or ``target``; the other one is ``all``.
    """
    other = "target" if by == "fault" else "fault"
    rows = board[board[other] == ALL]
    columns = [*sorted({str(name) for name in rows[by]} - {ALL}), ALL]
    found = {(row["method"], row[by]): row for row in records(rows)}
    whole = rows[rows[by] == ALL]
    chances = rows.groupby(by)["chance_avg5"].mean()
    counts = rows.groupby(by)["cases"].max()
    header = ["method", "told the inject time", *(f"{name} ({counts[name]})" for name in columns)]
    lines: list[list[Element | str]] = [
        ["chance", "", *(share(float(chances[name])) for name in columns)]
    ]
    for row in records(whole):
        name = str(row["method"])
        cells = (_scored(found.get((name, column))) for column in columns)
        lines.append([name, told(row["uses_inject_time"]), *cells])
    return table(header, lines, "heat over-chance")


def pair_matrix(pairs: pd.DataFrame, methods: Sequence[str]) -> Element:
    """Avg@5 of the row's method less the column's, in hundredths, coloured where it is clear.

    Args:
        pairs: of ``compare_methods``.
        methods: in the order wanted.
    """
    found = {}
    for row in records(pairs):
        note = (
            f"{row['first']} less {row['second']}: {share(row['difference'], sign=True)} "
            f"({share(row['low'], sign=True)} to {share(row['high'], sign=True)}), "
            f"{row['cases']} cases; right at AC@1 alone: {row['first_only']} against "
            f"{row['second_only']}, corrected p {row['p_holm']:.3g}"
        )
        clear = row["p_holm"] < CLEAR
        found[row["first"], row["second"]] = (row["difference"], clear, note)
        found[row["second"], row["first"]] = (-row["difference"], clear, note)
    users = inject_time_users()
    lines: list[list[Element | str]] = [
        [name, told(users.get(name)), *(_compared(found.get((name, other))) for other in methods)]
        for name in methods
    ]
    return table(["method", "told the inject time", *methods], lines, "heat pairs")


def clear_pairs(pairs: pd.DataFrame) -> int:
    """How many pairs differ clearly."""
    return int((pairs["p_holm"] < CLEAR).sum())


def _scored(row: dict[str, Any] | None) -> Element:
    if row is None:
        return element("td", NONE, title="not run")
    room = 1 - row["chance_avg5"] if row["lift_avg5"] > 0 else row["chance_avg5"]
    note = (
        f"Avg@5 {share(row['avg5'])} ({share(row['avg5_low'])} to {share(row['avg5_high'])}), "
        f"lift {share(row['lift_avg5'], sign=True)}, {row['cases']} cases, {row['failed']} failed"
    )
    strength = row["lift_avg5"] / room if room > 0 else 0.0
    return element("td", share(row["avg5"]), title=note, style=_colour(strength))


def _compared(pair: tuple[float, bool, str] | None) -> Element:
    if pair is None:
        return element("td")
    difference, clear, note = pair
    style = _colour(difference) if clear else None
    points = round(100 * difference)
    text = f"{points:+d}" if points else "0"
    return element("td", text, title=note, style=style, class_=None if clear else "unclear")


def _colour(strength: float) -> str:
    """Blue above 0, orange below, in [-1, 1]; readable in both themes and in print."""
    name = "blue" if strength > 0 else "orange"
    part = round(_DEEPEST * min(abs(strength), 1.0))
    return f"background: color-mix(in srgb, var(--{name}) {part}%, var(--paper))"
