"""The report as one HTML file that needs nothing else: no network, no script, no image file."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

import pandas as pd

from rca_benchmark.evaluation.scoring import score_cases
from rca_benchmark.report.cases import anchor, case_page
from rca_benchmark.report.configurations import default_rows, readable_rows
from rca_benchmark.report.leaderboard import inject_time_users, pooled_rows, records
from rca_benchmark.report.markup import Element, add, between, element, quantity, to_html
from rca_benchmark.report.sections import (
    cost_section,
    failure_section,
    fault_section,
    leaderboard_section,
    pair_section,
    sweep_section,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rca_benchmark.case import Case

FILE: Final = "report.html"
SECTIONS: Final = {
    "leaderboard": "Leaderboard",
    "faults": "Faults and targets",
    "pairs": "Which method beats which",
    "costs": "Accuracy against time and memory",
    "sweeps": "Sweeps",
    "failures": "Failures",
    "cases": "Cases",
}
_INTRODUCTION: Final = (
    "AC@k: share of cases whose true service is among a method's first k. Avg@5: mean of AC@1 to "
    "AC@5. Chance: what a uniformly random order of each case's own candidates would reach; lift: "
    "Avg@5 less chance. A failure counts as wrong. A method that is told the inject time knows "
    "when the fault began, which in operation nobody tells it. Data sets are never pooled."
)
_NO_TELEMETRY: Final = (
    "The pictures of the indicators are left out: the data sets were not given "
    "(rca-benchmark report DIR --html --dataset PATH)."
)


def build_page(
    results: pd.DataFrame,
    board: pd.DataFrame,
    find_case: Callable[[str, str], Case | None] | None = None,
) -> str:
    """The whole report.

    Args:
        results: of ``read_results``.
        board: of ``build_leaderboard``.
        find_case: a case by data set and name, None where the data set is not at hand; None in
            all if no data set is.
    """
    rows = readable_rows(results)
    main = element("main", element("h1", "Root cause analysis: leaderboard"))
    main.append(element("p", _INTRODUCTION, class_="note"))
    names = [dataset for dataset, level, _ in pooled_rows(board) if level == "service"]
    main.append(_contents(names))
    for dataset in names:
        of_dataset = rows[rows["dataset"] == dataset]
        add(main, _dataset(of_dataset, board[board["dataset"] == dataset], dataset, find_case))
    add(main, _unreadable(results[results["status"] == "error"]))
    style = files("rca_benchmark.report").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Leaderboard: {', '.join(names)}"),
        element("style", style),
    )
    return to_html(element("html", head, element("body", main), lang="en"))


def _dataset(
    rows: pd.DataFrame,
    board: pd.DataFrame,
    dataset: str,
    find_case: Callable[[str, str], Case | None] | None,
) -> Iterator[Element]:
    chosen = default_rows(rows)
    scored = score_cases(chosen, "service")
    pooled = {level: part for _, level, part in pooled_rows(board)}
    best = pooled["service"]
    methods = [str(name) for name in best["method"]]
    yield element("h2", dataset, id=anchor(dataset))
    yield element("p", _about(chosen))
    bodies: dict[str, Iterable[Element]] = {
        "leaderboard": _levels(pooled),
        "faults": fault_section(board[board["level"] == "service"]),
        "pairs": pair_section(scored, best),
        "costs": cost_section(scored, best),
        "sweeps": sweep_section(rows, methods),
        "failures": [failure_section(rows)],
        "cases": _case_pages(chosen, dataset, methods, find_case),
    }
    for name, title in SECTIONS.items():
        heading = element("h3", title)
        section = element("section", heading, id=anchor(dataset, name), class_=name)
        add(section, bodies[name])
        yield section


def _levels(pooled: dict[str, pd.DataFrame]) -> Iterator[Element]:
    for level, rows in pooled.items():
        yield element("h4", f"{level.capitalize()} level")
        yield from leaderboard_section(rows, level)


def _case_pages(
    rows: pd.DataFrame,
    dataset: str,
    methods: list[str],
    find_case: Callable[[str, str], Case | None] | None,
) -> Iterator[Element]:
    if find_case is None:
        yield element("p", _NO_TELEMETRY, class_="note")
    place = {name: number for number, name in enumerate(methods)}
    users = inject_time_users()
    absent = 0
    for name, group in rows.groupby("case"):
        answers = [row | {"uses_inject_time": users.get(row["method"])} for row in records(group)]
        answers.sort(key=lambda row: place[row["method"]])
        case = find_case(dataset, str(name)) if find_case else None
        absent += case is None
        yield case_page(answers, case)
    if find_case and absent:
        text = f"Without a picture, for not in the data sets given: {absent}."
        yield element("p", text, class_="note")


def _contents(names: list[str]) -> Element:
    lists = []
    for dataset in names:
        links = [element("a", element("strong", dataset), href=f"#{anchor(dataset)}")]
        links += [
            element("a", title, href=f"#{anchor(dataset, name)}")
            for name, title in SECTIONS.items()
        ]
        lists.append(element("ul", *(element("li", link) for link in links)))
    return element("nav", *lists)


def _about(rows: pd.DataFrame) -> str:
    candidates = rows["candidates"]
    length = rows["length"].iloc[0]
    window = (
        "the whole window"
        if pd.isna(length)
        else f"windows of {length} rows on each side of the inject time"
    )
    return (
        f"{rows['case'].nunique()} cases, {rows['method'].nunique()} methods, "
        f"{rows['fault'].nunique()} faults, {rows['target'].nunique()} targets, "
        f"{between(candidates.min(), candidates.max())} candidate services per case; "
        f"detection delay {quantity(float(rows['tdelta'].iloc[0]))} s, {window}."
    )


def _unreadable(rows: pd.DataFrame) -> Iterator[Element]:
    if rows.empty:
        return
    cases = rows.drop_duplicates(["dataset", "case"])
    yield element("h2", "Unreadable cases", id="unreadable")
    yield element("p", f"These could not be read and count for no method: {len(cases)}.")
    yield element(
        "ul",
        *(
            element("li", f"{row['dataset']}, {row['case']}: {row['reason']}", class_="bad")
            for row in records(cases)
        ),
    )
