"""The command ``rca-benchmark``. Heavy imports wait inside the commands that need them."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rca_benchmark.commands import (
    dataset,
    diagnose,
    evaluate,
    explain,
    export,
    methods,
    placement,
    report,
    validity,
)
from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, or 1 after one line on stderr that says what went wrong.
    """
    args = build_parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except (BenchError, OSError) as error:
        print(f"rca-benchmark {args.command}: {_told(error)}", file=sys.stderr)
        return 1
    return status


def _told(error: BenchError | OSError) -> str:
    """The error in one line: file first, without the number that OSError puts in front."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="rca-benchmark",
        description="Telemetry to cases, cases to rankings, rankings to scores.",
        epilog="Each command has a --help of its own, with an example.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (
        *(placement, export, evaluate, report, dataset, validity),
        *(diagnose, explain, methods),
    ):
        command.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
