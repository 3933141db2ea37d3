"""The command ``diagnose``: suspects of one case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "rank the suspects of one case, without reading its ground truth"
    command = add_command(
        commands, "diagnose", _diagnose, text, "cases/cpu-ray-head-1 --method baro"
    )
    command.add_argument("directory", type=Path, metavar="CASE_DIR")
    command.add_argument("--method", default="baro", metavar="NAME", help="(default: baro)")


def _diagnose(args: argparse.Namespace) -> int:
    from rich.console import Console

    from rca_benchmark.dataset import read_observation
    from rca_benchmark.report.diagnosis import diagnosis_table

    Console().print(diagnosis_table(read_observation(args.directory), args.method))
    return 0
