"""The command ``validity``: can a recorded data set be believed?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "say what the faults of a data set did, and whether anything gives them away"
    command = add_command(commands, "validity", _validity, text, "cases --out validity.md")
    command.add_argument("source", type=Path, metavar="DATASET", help="a folder of native cases")
    text = "another recording of the same plan: are schema and effect sizes the same?"
    command.add_argument("--against", type=Path, metavar="DATASET", help=text)
    command.add_argument("--out", type=Path, metavar="FILE", help="Markdown to write (default: "
        "standard output)")  # fmt: skip


def _validity(args: argparse.Namespace) -> int:
    from rca_benchmark.validity.page import validity_page

    text, sound = validity_page(args.source, args.against)
    if args.out is None:
        print(text, end="")
    else:
        partial = args.out.with_name(f".{args.out.name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.rename(args.out)
        print(f"{args.out}: written")
    if not sound:
        text = "something gives targets away (Leaks), or differs (Recorded again)"
        print(f"rca-benchmark validity: {text}", file=sys.stderr)
    return 0 if sound else 1
