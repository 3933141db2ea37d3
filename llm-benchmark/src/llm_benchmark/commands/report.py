"""``llm-benchmark report``: a run's figures and its page, once more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_benchmark.commands import parsing
from llm_benchmark.reports.run_page import read_summary, write_report
from llm_benchmark.reports.terminal import print_summary

if TYPE_CHECKING:
    import argparse

    from llm_benchmark.commands.parsing import Commands

TEXT = """\
Print the figures of a finished run and write its page, report.html, anew from its records.
"""

EXAMPLE = """\
example, after 'llm-benchmark run ... --out results':

  llm-benchmark report results
"""


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(commands, "report", "show a finished run again", TEXT, EXAMPLE)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the run")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    print_summary(read_summary(chosen.folder))
    print(write_report(chosen.folder))
    return 0
