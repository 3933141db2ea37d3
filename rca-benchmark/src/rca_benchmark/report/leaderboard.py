"""The leaderboard: methods x (fault, target), with what chance alone would reach."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rca_benchmark.errors import BenchError
from rca_benchmark.evaluation.scoring import (
    accuracy_at,
    average_at_5,
    chance_average_at_5,
    reciprocal_rank,
)
from rca_benchmark.methods import all_methods

FILE: Final = "leaderboard.csv"
ALL: Final = "all"
_GROUP: Final = ["dataset", "fault", "target", "method", "level"]
COLUMNS: Final = [
    *_GROUP,
    *("cases", "failed", "ac1", "ac3", "ac5", "avg5", "mrr", "chance_avg5", "lift_avg5"),
    *("seconds_median", "uses_inject_time"),
]
# Level of the answer: column of its rank, column of the number of candidates.
_LEVELS: Final = {
    "service": ("rank_service", "candidates"),
    "indicator": ("rank_indicator", "candidate_indicators"),
}


def build_leaderboard(results: pd.DataFrame) -> pd.DataFrame:
    """One row per (data set, fault, target, method, level), with ``all`` for the marginals.

    A failure counts as wrong. Rows of unreadable cases are left out. The level ``indicator``
    covers the cases whose true indicator is known. Lift is Avg@5 less chance's Avg@5.

    Raises:
        BenchError: no case was readable.
    """
    rows = results[results["status"] != "error"]
    if rows.empty:
        raise BenchError("no readable case in the results: nothing to report")
    parts = [
        _score_rows(rows, level, rank, candidates)
        for level, (rank, candidates) in _LEVELS.items()
        if level == "service" or rows["indicator"].notna().any()
    ]
    scored = pd.concat([_with_marginals(part) for part in parts])
    board = scored.groupby(_GROUP, as_index=False).agg(
        cases=("ac1", "size"),
        failed=("failed", "sum"),
        ac1=("ac1", "mean"),
        ac3=("ac3", "mean"),
        ac5=("ac5", "mean"),
        avg5=("avg5", "mean"),
        mrr=("mrr", "mean"),
        chance_avg5=("chance_avg5", "mean"),
        seconds_median=("seconds", "median"),
    )
    board["lift_avg5"] = board["avg5"] - board["chance_avg5"]
    told = {method.name: method.uses_inject_time for method in all_methods()}
    board["uses_inject_time"] = board["method"].map(told)
    return board[COLUMNS]


def write_leaderboard(board: pd.DataFrame, directory: Path) -> Path:
    """Write ``leaderboard.csv`` to the directory, whole or not at all."""
    target = directory / FILE
    with tempfile.TemporaryDirectory(dir=directory, prefix=".leaderboard.") as partial:
        path = Path(partial) / FILE
        board.to_csv(path, index=False, float_format="%.6g")
        path.replace(target)
    return target


def _score_rows(rows: pd.DataFrame, level: str, rank: str, candidates: str) -> pd.DataFrame:
    if level == "indicator":
        rows = rows[rows["indicator"].notna()]
    ranks: list[int | None] = [None if pd.isna(value) else int(value) for value in rows[rank]]
    scores: dict[str, Any] = {
        f"ac{k}": [accuracy_at(k, place) for place in ranks] for k in (1, 3, 5)
    }
    scores["avg5"] = [average_at_5(place) for place in ranks]
    scores["mrr"] = [reciprocal_rank(place) for place in ranks]
    scores["chance_avg5"] = [chance_average_at_5(int(count)) for count in rows[candidates]]
    kept = rows[["dataset", "fault", "target", "method", "seconds"]]
    return kept.assign(level=level, failed=rows["status"] == "failed", **scores)


def _with_marginals(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(
        [
            rows,
            rows.assign(fault=ALL),
            rows.assign(target=ALL),
            rows.assign(fault=ALL, target=ALL),
        ]
    )
