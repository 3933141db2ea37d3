"""The command ``report``: results to leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "write leaderboard.csv from results.parquet and print it"
    command = add_command(commands, "report", _report, text, "results")
    command.add_argument("directory", type=Path, metavar="DIR", help="holds results.parquet")


def _report(args: argparse.Namespace) -> int:
    print_report(args.directory)
    return 0


def print_report(directory: Path) -> None:
    """Write the leaderboard of a results folder and print it."""
    from rich.console import Console

    from rca_benchmark.evaluation.results import read_results
    from rca_benchmark.report.leaderboard import build_leaderboard, write_leaderboard
    from rca_benchmark.report.table import leaderboard_tables

    board = build_leaderboard(read_results(directory))
    path = write_leaderboard(board, directory)
    console = Console()
    for table in leaderboard_tables(board):
        console.print(table)
    print(f"leaderboard written to {path}")
