"""The leaderboard on a terminal and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from rich.box import SIMPLE
from rich.table import Table

from rca_benchmark.report.leaderboard import pooled_rows, records
from rca_benchmark.report.markup import share, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

MARKDOWN: Final = "leaderboard.md"
HEADINGS: Final = (
    *("method", "told the inject time", "cases", "failed", "AC@1", "AC@3", "AC@5", "Avg@5"),
    *("95 %", "chance", "lift", "MRR", "s"),
)
_TOLD: Final = "told: whether the method is told the inject time"
# What fits on a terminal of 80 columns.
_NARROW: Final = ["method", "told", "failed", "AC@1", "Avg@5", "95 %", "chance", "s"]


def leaderboard_cells(row: dict[str, Any]) -> list[str]:
    """A row of the leaderboard for people, in the order of ``HEADINGS``."""
    return [
        *(str(row["method"]), told(row["uses_inject_time"])),
        *(str(row["cases"]), str(row["failed"])),
        *(share(row[name]) for name in ("ac1", "ac3", "ac5", "avg5")),
        f"{share(row['avg5_low'])}-{share(row['avg5_high'])}",
        *(share(row["chance_avg5"]), share(row["lift_avg5"], sign=True), share(row["mrr"])),
        f"{row['seconds_median']:.2g}",
    ]


def leaderboard_tables(board: pd.DataFrame) -> Iterator[Table]:
    """One table per data set and level: all faults and targets together, best method first."""
    for dataset, level, rows in pooled_rows(board):
        title = _title(dataset, level, rows)
        table = Table(title=title, caption=_TOLD, box=SIMPLE, pad_edge=False, show_edge=False)
        for heading in _NARROW:
            justify: Literal["left", "right"] = "left" if heading in _NARROW[:2] else "right"
            table.add_column(heading, justify=justify, overflow="fold")
        for row in records(rows):
            cells = dict(zip(HEADINGS, leaderboard_cells(row), strict=True))
            cells["told"] = told(row["uses_inject_time"])
            table.add_row(*(cells[heading] for heading in _NARROW))
        yield table


def leaderboard_markdown(board: pd.DataFrame) -> str:
    """The same tables as Markdown."""
    lines = [
        "# Leaderboard",
        "",
        "Avg@5 with its 95 % interval, what chance alone would reach, and the difference (lift).",
        "Failures count as wrong. s is the median time per case in seconds.",
    ]
    for dataset, level, rows in pooled_rows(board):
        lines += ["", f"## {_escape(_title(dataset, level, rows))}", "", _line(HEADINGS)]
        lines.append(_line(["---", "---", *["---:"] * (len(HEADINGS) - 2)]))
        lines += [_line(leaderboard_cells(row)) for row in records(rows)]
    return "\n".join([*lines, ""])


def _title(dataset: str, level: str, rows: pd.DataFrame) -> str:
    return f"{dataset}: {level} level, cases: {rows['cases'].max()}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_escape(cell) for cell in cells)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("_", "\\_")
