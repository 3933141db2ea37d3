"""The command ``methods``: what there is to run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rca_benchmark.commands.common import add_command

if TYPE_CHECKING:
    import argparse

    from rca_benchmark.methods import Method

_HEADINGS: Final = ("method", "sources", "uses", "cost", "at most", "needs", "paper")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "list the methods and what they need, or show the card of one"
    command = add_command(commands, "methods", _methods, text, "baro")
    command.add_argument("name", nargs="?", metavar="NAME", help="show the card of this method")
    command.add_argument(
        "--markdown", action="store_true", help="the cards of all methods as one document"
    )


def _methods(args: argparse.Namespace) -> int:
    if args.name is not None:
        _print_card(args.name, markdown=args.markdown)
    elif args.markdown:
        sys.stdout.write(methods_document())
    else:
        _print_list()
    return 0


def methods_document() -> str:
    """The cards of this package's own methods, as ``docs/methods.md`` holds them."""
    from rca_benchmark import causal
    from rca_benchmark.methods import all_methods
    from rca_benchmark.report.method_cards import methods_markdown

    own = [method for method in all_methods()
           if method.function.__module__.startswith("rca_benchmark.")]  # fmt: skip
    policy = (causal.__doc__ or "").partition("\n\n")[2]
    return methods_markdown(own, policy)


def _print_card(name: str, *, markdown: bool) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from rca_benchmark.methods import get_method
    from rca_benchmark.report.method_cards import card_markdown

    card = card_markdown(get_method(name))
    if markdown:
        sys.stdout.write(card)
    else:
        Console().print(Markdown(card))


def _print_list() -> None:
    from rich.console import Console
    from rich.table import Table

    from rca_benchmark.methods import all_methods

    rows = [_declaration(method) for method in all_methods()]
    told = [heading for heading in _HEADINGS if any(row[heading] for row in rows)]
    table = Table(*told)
    for row in rows:
        table.add_row(*(row[heading] for heading in told))
    table.columns[0].no_wrap = True
    Console().print(table)


def _declaration(method: Method) -> dict[str, str]:
    uses = [
        ("inject time", method.uses_inject_time),
        ("SLI", method.uses_sli),
        ("chance", method.stochastic),
    ]
    needs = f"{', '.join(method.needs)} (extra {method.extra})" if method.extra else ""
    if method.missing:
        needs += ": not installed"
    values = (
        method.name,
        ", ".join(sorted(method.sources)),
        ", ".join(name for name, used in uses if used),
        method.cost,
        str(method.most_indicators or ""),
        needs,
        method.paper,
    )
    return dict(zip(_HEADINGS, values, strict=True))
