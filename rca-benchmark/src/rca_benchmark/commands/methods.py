"""The command ``methods``: what there is to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    add_command(commands, "methods", _methods, "list the methods and what they need", "")


def _methods(_args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from rca_benchmark.methods import all_methods

    table = Table("method", "sources", "told the inject time", "chance plays a part", "paper")
    for method in all_methods():
        flags = ["yes" if flag else "no" for flag in (method.uses_inject_time, method.stochastic)]
        table.add_row(method.name, ", ".join(sorted(method.sources)), *flags, method.paper)
    Console().print(table)
    return 0
