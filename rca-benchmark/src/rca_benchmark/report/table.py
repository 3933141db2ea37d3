"""The leaderboard on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rca_benchmark.report.leaderboard import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


def leaderboard_tables(board: pd.DataFrame) -> Iterator[Table]:
    """One table per data set and level: all faults and targets together, best method first."""
    pooled = board[(board["fault"] == ALL) & (board["target"] == ALL)]
    for key, rows in pooled.groupby(["dataset", "level"], sort=True):
        dataset, level = (str(part) for part in key)
        cases = int(rows["cases"].to_numpy()[0])
        table = Table(title=f"{dataset}: {level} level, cases: {cases}")
        table.add_column("method")
        for heading in ("AC@1", "AC@3", "Avg@5", "chance", "lift", "failed", "s"):
            table.add_column(heading, justify="right")
        table.add_column("told the inject time")
        best_first = rows.sort_values(["avg5", "method"], ascending=[False, True])
        for row in best_first.to_dict("records"):
            table.add_row(
                str(row["method"]),
                *(f"{row[column]:.2f}" for column in ("ac1", "ac3", "avg5", "chance_avg5")),
                f"{row['lift_avg5']:+.2f}",
                str(row["failed"]),
                f"{row['seconds_median']:.3f}",
                "yes" if row["uses_inject_time"] else "no",
            )
        yield table
