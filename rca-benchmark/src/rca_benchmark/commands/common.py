"""What the commands share: how one is added, progress, types of arguments."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    example: str,
    prefix: str = "",
) -> argparse.ArgumentParser:
    """Add one command with its help and an example.

    Args:
        commands: what ``add_subparsers`` returned.
        name: name of the command.
        run: what it does; its result is the exit status.
        text: one clause for the list of commands.
        example: arguments that work, shown in ``--help``.
        prefix: what stands before the name in the example, with a blank at its end.
    """
    command = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  rca-benchmark {prefix}{name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr; yields what to call after each step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda label: progress.update(task, advance=1, description=label)


def instant(text: str) -> int:
    """ISO 8601 with a zone, or epoch nanoseconds, as UTC epoch nanoseconds."""
    if text.isdigit():
        if len(text) != 19:
            raise argparse.ArgumentTypeError(f"{text} is not in epoch nanoseconds (19 digits)")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no zone; write it in UTC with a Z at the end")
    return round(moment.timestamp() * 1_000_000) * 1000


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)
