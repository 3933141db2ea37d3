"""``llm-benchmark merge``: the shards of one schedule made one run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_benchmark.commands import parsing
from llm_benchmark.errors import OptionError
from llm_benchmark.merge import merge
from llm_benchmark.options import check_folder
from llm_benchmark.reports.terminal import print_summary

if TYPE_CHECKING:
    import argparse

    from llm_benchmark.commands.parsing import Commands

TEXT = """\
Join the results of runs that sent shards of one schedule ('llm-benchmark run --schedule FILE
--shard I/N'), perhaps on several machines. All figures are worked out anew from all records. A
shard that is missing, or not valid, makes the whole not valid.
"""

EXAMPLE = """\
example, after two runs with --shard 0/2 and --shard 1/2:

  llm-benchmark merge shard-0 shard-1 --out merged
"""


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(commands, "merge", "join the shards of a run", TEXT, EXAMPLE)
    add_ = parser.add_argument
    add_("folders", nargs="+", type=Path, metavar="DIR", help="folders of the shards' runs")
    add_("--out", required=True, type=Path, metavar="DIR", help="folder of the result")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    if chosen.out in chosen.folders:
        raise OptionError(f"--out {chosen.out}: is one of the folders to join; give another")
    check_folder("--out", chosen.out)
    print_summary(merge(chosen.folders, chosen.out))
    return 0
