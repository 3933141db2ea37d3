"""The sections of the report on one data set; each states its cases and its chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.evaluation.scoring import ALL, score_cases, summarise
from rca_benchmark.evaluation.statistics import compare_methods
from rca_benchmark.report.charts import cost_chart, interval_chart, sweep_chart
from rca_benchmark.report.configurations import sweeps
from rca_benchmark.report.leaderboard import best_first, inject_time_users, records
from rca_benchmark.report.markup import (
    Element,
    between,
    element,
    figure,
    quantity,
    share,
    table,
    told,
)
from rca_benchmark.report.matrices import CLEAR, clear_pairs, heat_map, pair_matrix
from rca_benchmark.report.table import HEADINGS, leaderboard_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

_AXES: Final = {
    "tdelta": "detection delay (s)",
    "length": "window length (rows on each side of the inject time)",
}
_DOTS: Final = (
    "A filled dot is a method that is told the inject time, a hollow one a method that is not."
)


def leaderboard_section(board: pd.DataFrame, level: str) -> Iterator[Element]:
    """Avg@5 with intervals and chance, and the table of all scores.

    Args:
        board: rows of one data set and level over all faults and targets, best method first.
        level: service or indicator.
    """
    rows = records(board)
    chart = interval_chart(rows, f"Avg@5 at {level} level with 95 % intervals")
    caption = (
        f"{_basis(board)} The line is the 95 % interval (Wilson); the dashes are chance. {_DOTS}"
    )
    yield figure(chart, caption)
    yield table(list(HEADINGS), [leaderboard_cells(row) for row in rows], "scores")


def fault_section(board: pd.DataFrame) -> Iterator[Element]:
    """Method x fault and method x target, at service level.

    Args:
        board: rows of one data set and level.
    """
    ordered = best_first(board)
    whole = ordered[(ordered["fault"] == ALL) & (ordered["target"] == ALL)]
    for by in ("fault", "target"):
        caption = (
            f"Avg@5 by {by}; the number of cases in brackets. {_basis(whole)} Blue: above chance; "
            f"orange: below; the deeper, the further. Point at a cell for its interval."
        )
        yield figure(heat_map(ordered, by), caption)


def pair_section(scored: pd.DataFrame, board: pd.DataFrame) -> Iterator[Element]:
    """Which method beats which on the same cases.

    Args:
        scored: rows of ``score_cases`` of one data set and level.
        board: as for ``leaderboard_section``.
    """
    methods = [str(name) for name in board["method"]]
    if len(methods) < 2:
        yield element("p", "One method alone: nothing to compare.")
        return
    pairs = compare_methods(scored)
    caption = (
        f"Avg@5 of the method at the left less that of the method above, in hundredths, on the "
        f"cases that both have; coloured where the two differ clearly: exact McNemar test of "
        f"AC@1, Holm-corrected over {len(pairs)} pairs, p < {CLEAR}. {clear_pairs(pairs)} of "
        f"{len(pairs)} pairs do. {_basis(board)}"
    )
    yield figure(pair_matrix(pairs, methods), caption)


def cost_section(scored: pd.DataFrame, board: pd.DataFrame) -> Iterator[Element]:
    """Avg@5 against time and memory per case.

    Args:
        scored: as for ``pair_section``.
        board: as for ``leaderboard_section``.
    """
    costs = {str(name): summarise(rows) for name, rows in scored.groupby("method")}
    rows: list[dict[str, Any]] = [costs[str(row["method"])] | row for row in records(board)]
    charts = {
        "seconds_median": "median time per case (s)",
        "peak_mb_median": "median peak memory (MiB)",
    }
    for cost, axis in charts.items():
        if any(row[cost] > 0 for row in rows):
            caption = f"Avg@5 against {axis}; up and left is better; dashes: chance."
            picture = cost_chart(rows, cost, axis, f"Avg@5 against {axis}")
            yield figure(picture, f"{caption} {_basis(board)} {_DOTS}")
    header = ["method", "told the inject time", "cases", "Avg@5", "chance", "s, median", "s, p95"]
    yield table(
        [*header, "MiB, median", "MiB, p95"],
        [
            [
                *(str(row["method"]), told(row["uses_inject_time"]), str(row["cases"])),
                *(share(row["avg5"]), share(row["chance_avg5"])),
                *(quantity(row[f"seconds_{name}"]) for name in ("median", "p95")),
                *(quantity(row[f"peak_mb_{name}"]) for name in ("median", "p95")),
            ]
            for row in rows
        ],
        "costs",
    )


def sweep_section(rows: pd.DataFrame, methods: list[str]) -> Iterator[Element]:
    """Avg@5 over the detection delay and over the window length, where they were swept.

    Args:
        rows: readable results of one data set, all configurations.
        methods: in the order wanted.
    """
    found = list(sweeps(rows))
    if not found:
        yield element("p", "One configuration: nothing was swept (evaluate --tdelta, --length).")
    for swept, part in found:
        scored = score_cases(part, "service").assign(value=part["value"])
        means = scored.groupby(["method", "value"])["avg5"].mean().to_dict()
        chance = scored.groupby("value")["chance_avg5"].mean()
        counts = scored.groupby("value")["case"].nunique()
        values = sorted(set(part["value"]))
        labels = ["all" if value == math.inf else quantity(value) for value in values]
        curves = {
            name: [float(means.get((name, value), math.nan)) for value in values]
            for name in methods
        }
        axis = _AXES[swept]
        caption = (
            f"Avg@5 over the {axis}; dashes: chance; {between(counts.min(), counts.max())} cases."
        )
        yield figure(sweep_chart(curves, chance.tolist(), labels, axis, f"Avg@5, {axis}"), caption)
        users = inject_time_users()
        lines = [
            [name, told(users.get(name)), *(share(value) for value in curve)]
            for name, curve in curves.items()
        ]
        lines.insert(0, ["chance", "", *(share(value) for value in chance.tolist())])
        yield table(["method", "told the inject time", *labels], lines, "over-chance")


def failure_section(rows: pd.DataFrame) -> Element:
    """Every failure by method and reason; they score as wrong.

    Args:
        rows: readable results of one data set.
    """
    failed = rows[rows["status"] != "ok"]
    if failed.empty:
        return element("p", f"Failures: none; {_answers(rows)}.")
    users, totals = inject_time_users(), rows["method"].value_counts().to_dict()
    lines = [
        [
            *(str(method), told(users.get(str(method))), str(status)),
            *(f"{len(group)} of {totals[method]}", str(reason), str(group["case"].iloc[0])),
        ]
        for (method, status, reason), group in failed.groupby(
            ["method", "status", "reason"], dropna=False
        )
    ]
    header = ["method", "told the inject time", "status", "times", "reason", "for example"]
    found = table(header, lines, "words failures")
    return figure(found, f"Failures: {len(failed)}; {_answers(rows)}. They count as wrong.")


def _basis(board: pd.DataFrame) -> str:
    """Cases and chance of a group of rows, as a sentence."""
    cases = between(board["cases"].min(), board["cases"].max())
    return f"{cases} cases per method, chance Avg@5 {share(float(board['chance_avg5'].mean()))}."


def _answers(rows: pd.DataFrame) -> str:
    return f"answers: {len(rows)}, cases: {rows['case'].nunique()}"
