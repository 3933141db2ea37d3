"""``llm-benchmark compare``: two runs side by side."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from llm_benchmark.commands import parsing
from llm_benchmark.compare import compare, read_run
from llm_benchmark.files import replace
from llm_benchmark.options import check_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from llm_benchmark.commands.parsing import Commands
    from llm_benchmark.compare import Row

TEXT = """\
Compare two finished runs: each figure in both, its difference, and where that lies with 95 %
(seconds of the runs are drawn again and again). Latencies are those of successful requests. Runs
shorter than ten seconds have no intervals.
"""

EXAMPLE = """\
example, after 'llm-benchmark run ... --out results' and another run into other-results:

  llm-benchmark compare results other-results --csv comparison.csv
"""


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(commands, "compare", "compare two runs", TEXT, EXAMPLE)
    add_ = parser.add_argument
    add_("first", type=Path, metavar="A", help="folder of the run to compare with")
    add_("second", type=Path, metavar="B", help="folder of the run to compare")
    add_("--csv", type=Path, metavar="FILE", help="also write the table here")
    add_("--seed", type=parsing.seed, default=0, help="seed of the drawing (default 0)")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    if chosen.csv is not None:
        check_folder("--csv", chosen.csv.parent)
    runs = [read_run(folder) for folder in (chosen.first, chosen.second)]
    rows = compare(*runs, seed=chosen.seed)
    table = Table("", "A", "B", "B - A", "B / A", "95 % of B - A", "")
    for row in rows:
        table.add_row(*_cells(row))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for name, one in zip("AB", runs, strict=True):
        if not one.summary["valid"]:
            console.print(f"{name} is NOT VALID: {one.summary['reason']}", markup=False)
    if chosen.csv is not None:
        _write(rows, chosen.csv)
    return 0


def _cells(row: Row) -> list[str]:
    values = [_number(one) for one in (row.first, row.second, row.difference, row.ratio)]
    if row.interval is None:
        return [row.name, *values, "too short", ""]
    low, high = row.interval
    return [row.name, *values, f"{low:.3f} to {high:.3f}", "differs" if row.decided else ""]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _write(rows: Sequence[Row], path: Path) -> None:
    with replace(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["figure", "a", "b", "difference", "ratio", "low", "high", "differs"])
        for row in rows:
            low, high = row.interval or ("", "")
            values = [row.first, row.second, row.difference, row.ratio]
            writer.writerow([row.name, *values, low, high, row.decided])
