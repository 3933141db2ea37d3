"""The command ``methods``: what there is to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse

    from rca_benchmark.methods import Method


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    add_command(commands, "methods", _methods, "list the methods and what they need", "")


def _methods(_args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from rca_benchmark.methods import all_methods

    table = Table("method", "sources", "uses", "cost", "needs", "paper")
    for method in all_methods():
        table.add_row(method.name, *_declaration(method))
    table.columns[0].no_wrap = True
    Console().print(table)
    return 0


def _declaration(method: Method) -> tuple[str, ...]:
    uses = [("inject time", method.uses_inject_time), ("chance", method.stochastic)]
    needs = f"{', '.join(method.needs)} (extra {method.extra})" if method.extra else ""
    if method.missing:
        needs += ": not installed"
    return (
        ", ".join(sorted(method.sources)),
        ", ".join(name for name, used in uses if used),
        method.cost,
        needs,
        method.paper,
    )
