"""The leaderboard: methods x (fault, target), with what chance alone would reach."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from rca_benchmark.evaluation.scoring import ALL, LEVELS, score_cases, summarise, with_marginals
from rca_benchmark.methods import all_methods
from rca_benchmark.report.configurations import default_rows, readable_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = "leaderboard.csv"
_GROUP: Final = ["dataset", "fault", "target", "method", "level"]
COLUMNS: Final = [
    *_GROUP,
    *("cases", "failed", "ac1", "ac3", "ac5", "avg5", "mrr", "chance_avg5", "lift_avg5"),
    *("avg5_low", "avg5_high", "seconds_median", "uses_inject_time"),
]


def build_leaderboard(results: pd.DataFrame) -> pd.DataFrame:
    """One row per (data set, fault, target, method, level), with ``all`` for the marginals.

    A failure counts as wrong. Rows of unreadable cases are left out, and so are the rows of all
    configurations but each data set's default. The level ``indicator`` covers the cases whose
    true indicator is known. Lift is Avg@5 less chance's Avg@5.

    Raises:
        BenchError: no case was readable.
    """
    rows = default_rows(readable_rows(results))
    scored = pd.concat([score_cases(rows, level) for level in LEVELS])
    groups = with_marginals(scored).groupby(_GROUP)
    board = pd.DataFrame(
        [dict(zip(_GROUP, key, strict=True)) | summarise(group) for key, group in groups]
    )
    told = inject_time_users()
    board["uses_inject_time"] = [told.get(name) for name in board["method"]]
    return board[COLUMNS]


def inject_time_users() -> dict[str, bool]:
    """Whether each method that is installed here is told the inject time."""
    return {method.name: method.uses_inject_time for method in all_methods()}


def pooled_rows(board: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Data set, level and their rows over all faults and targets, best method first."""
    pooled = best_first(board[(board["fault"] == ALL) & (board["target"] == ALL)])
    for (dataset, level), rows in pooled.groupby(["dataset", "level"], sort=False):
        yield str(dataset), str(level), rows


def best_first(board: pd.DataFrame) -> pd.DataFrame:
    """The rows by data set, service level first, then by Avg@5; methods that tie by name."""
    return board.sort_values(
        ["dataset", "level", "avg5", "method"], ascending=[True, False, False, True]
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows one by one."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def write_leaderboard(board: pd.DataFrame, directory: Path) -> Path:
    """Write ``leaderboard.csv`` to the directory, whole or not at all."""
    return write_text(directory / FILE, board.to_csv(index=False, float_format="%.6g"))


def write_text(target: Path, text: str) -> Path:
    """Write a file whole or not at all; returns its path."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".report.") as partial:
        path = Path(partial) / target.name
        path.write_text(text, encoding="utf-8")
        path.replace(target)
    return target
