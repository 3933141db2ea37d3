"""The command ``explain``: why a method suspects whom, in one case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "show the ranking of one case with its evidence, without reading the ground truth"
    example = "cases/cpu-ray-head-1 --method llm_serving --html explanation.html"
    command = add_command(commands, "explain", _explain, text, example)
    command.add_argument("directory", type=Path, metavar="CASE_DIR")
    command.add_argument(
        "--method", default="llm_serving", metavar="NAME", help="(default: llm_serving)"
    )
    command.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write a page with pictures of the indicators",
    )


def _explain(args: argparse.Namespace) -> int:
    from rich.console import Console

    from rca_benchmark.dataset import read_observation
    from rca_benchmark.report.explanation import explain, explanation_page, explanation_table
    from rca_benchmark.report.leaderboard import write_text

    explanation = explain(read_observation(args.directory), args.method)
    Console().print(explanation_table(explanation))
    if args.html:
        print(f"page written to {write_text(args.html, explanation_page(explanation))}")
    return 0
