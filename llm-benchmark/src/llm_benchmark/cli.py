"""The command line of ``llm-benchmark``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from llm_benchmark.commands import (
    compare,
    merge,
    parsing,
    report,
    run,
    schedule,
    stub_server,
    sweep,
)
from llm_benchmark.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT = """\
An open-loop load generator for LLM inference servers: requests are sent when they are due,
whatever is outstanding, and latency is counted from that instant too.
"""

EXAMPLE = """\
example, without any model: a server with known timings in one terminal

  llm-benchmark stub-server --port 8099

and its load in another:

  llm-benchmark run --url http://127.0.0.1:8099 --provider vllm --model stub \\
      --rate 10 --duration 2s --out results
"""

COMMANDS = {
    "run": run,
    "sweep": sweep,
    "schedule": schedule,
    "merge": merge,
    "compare": compare,
    "report": report,
    "stub-server": stub_server,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; None takes the process's own.

    Returns:
        The exit status.
    """
    chosen = _parser().parse_args(arguments)
    try:
        status: int = COMMANDS[chosen.command].run(chosen)
    except OptionError as error:
        print(f"llm-benchmark {chosen.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"llm-benchmark {chosen.command}: the results cannot be written: {error}; make room or"
            " give another --out. What was recorded so far lies there",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = parsing.Parser(
        prog="llm-benchmark",
        description=TEXT,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        command.add(commands)
    return parser
