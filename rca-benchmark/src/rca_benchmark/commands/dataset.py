"""The command ``dataset``: look at data sets and check them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "describe a data set, or check that its cases are whole"
    command = add_command(commands, "dataset", _dataset, text, "validate cases")
    command.add_argument("action", choices=("describe", "validate"))
    command.add_argument("directory", type=Path, metavar="DATASET", help="a folder of cases")


def _dataset(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset import describe

    if args.action == "describe":
        print("\n".join(describe.describe(args.directory)))
        return 0
    problems = describe.validate(args.directory)
    for problem in problems:
        print(f"rca-benchmark dataset validate: {problem}", file=sys.stderr)
    if not problems:
        print(f"{args.directory}: every case is whole")
    return 1 if problems else 0
