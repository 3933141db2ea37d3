"""``llm-benchmark schedule``: work a load out and write it down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_benchmark.clock import SECOND_NS
from llm_benchmark.commands import load, parsing
from llm_benchmark.options import check_folder
from llm_benchmark.plan import make_load
from llm_benchmark.schedules import write_schedule

if TYPE_CHECKING:
    import argparse

    from llm_benchmark.commands.parsing import Commands

TEXT = """\
Work out when every request of a load is due and what it asks, and write it to a file. With
'llm-benchmark run --schedule FILE' it is sent, as often as wanted and always the same; with --shard
and --start-at by several machines at once, whose results 'llm-benchmark merge' joins.
"""

EXAMPLE = """\
example:

  llm-benchmark schedule --arrivals gamma --burstiness 0.5 --stages 10@30s,10-50@60s \\
      --prompt-tokens normal:mean=512,sd=128 --seed 1 --out schedule.parquet
"""


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(
        commands, "schedule", "work a load out and write it to a file", TEXT, EXAMPLE
    )
    load.add_arrivals(parser)
    load.add_content(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="file to write")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    options = load.load_options(chosen)
    options.check()
    check_folder("--out", chosen.out.parent)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    made = make_load(options)
    write_schedule(made, options, chosen.out)
    print(f"{made.count} requests in {made.duration_ns / SECOND_NS:g} s: {chosen.out}")
    return 0
