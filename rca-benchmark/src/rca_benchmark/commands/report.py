"""The command ``report``: results to leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import pandas as pd

    from rca_benchmark.case import Case


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "write the leaderboard of results.parquet as CSV and Markdown, and print it"
    command = add_command(commands, "report", _report, text, "results --html --dataset cases")
    add = command.add_argument
    add("directory", type=Path, metavar="DIR", help="holds results.parquet")
    add("--html", action="store_true", help="also write report.html, which needs no other file")
    help_text = "folders of the cases, for the pictures of their indicators (with --html)"
    add("--dataset", type=Path, nargs="+", default=[], metavar="PATH", help=help_text)


def _report(args: argparse.Namespace) -> int:
    from rca_benchmark.errors import BenchError

    if args.dataset and not args.html:
        raise BenchError("--dataset is for the pictures of --html; add --html")
    results, board = print_report(args.directory)
    if args.html:
        _write_page(results, board, args.directory, args.dataset)
    return 0


def print_report(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the leaderboard of a results folder and print it; returns results and leaderboard."""
    from rich.console import Console

    from rca_benchmark.evaluation.results import read_results
    from rca_benchmark.report.leaderboard import build_leaderboard, write_leaderboard, write_text
    from rca_benchmark.report.table import MARKDOWN, leaderboard_markdown, leaderboard_tables

    results = read_results(directory)
    board = build_leaderboard(results)
    path = write_leaderboard(board, directory)
    write_text(directory / MARKDOWN, leaderboard_markdown(board))
    console = Console()
    for table in leaderboard_tables(board):
        console.print(table)
    print(f"leaderboard written to {path}")
    return results, board


def _write_page(
    results: pd.DataFrame, board: pd.DataFrame, directory: Path, datasets: Sequence[Path]
) -> None:
    from rca_benchmark.report.leaderboard import write_text
    from rca_benchmark.report.page import FILE, build_page

    finder = _case_finder(datasets) if datasets else None
    page = build_page(results, board, finder)
    print(f"report written to {write_text(directory / FILE, page)}")


def _case_finder(datasets: Sequence[Path]) -> Callable[[str, str], Case | None]:
    """A case by data set and name; None where it is in none of the folders."""
    from rca_benchmark.dataset import find_cases, read_case

    refs = {(ref.dataset, ref.name): ref for path in datasets for ref in find_cases(path)}

    def find(dataset: str, name: str) -> Case | None:
        ref = refs.get((dataset, name))
        return read_case(ref) if ref else None

    return find
