"""The command ``evaluate``: methods on cases, scored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command, positive, progress
from rca_benchmark.commands.report import print_report
from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "evaluate",
        _evaluate,
        "run methods on every case of the data sets and score them",
        "cases --methods baro,nsigma,random --workers 2 --out results",
    )
    add = command.add_argument
    add("datasets", type=Path, nargs="+", metavar="DATASET", help="a folder of cases")
    add("--methods", default="all", metavar="a,b|all", help="names of methods (default: all)")
    add("--workers", type=positive, default=1, metavar="N", help="processes (default: 1)")
    add("--seed", type=int, default=0, metavar="N", help="seed of all chance (default: 0)")
    add("--out", type=Path, required=True, metavar="DIR", help="gets results.parquet")


def _evaluate(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset import find_cases
    from rca_benchmark.evaluation.results import to_frame, write_results
    from rca_benchmark.evaluation.runner import evaluate
    from rca_benchmark.methods import all_methods

    names = [path.resolve().name for path in args.datasets]
    if len(set(names)) != len(names):
        raise BenchError(f"two data sets have the same name: {', '.join(names)}; rename one folder")
    refs = [ref for path in args.datasets for ref in find_cases(path)]
    methods = (
        [method.name for method in all_methods()]
        if args.methods == "all"
        else list(dict.fromkeys(args.methods.split(",")))
    )
    with progress(len(refs)) as tick:
        table = evaluate(
            refs,
            methods,
            seed=args.seed,
            workers=args.workers,
            done=lambda ref: tick(f"{ref.dataset} {ref.name}"),
        )
    write_results(table, args.out)
    results = to_frame(table)
    bad = results[results["status"] == "error"].drop_duplicates(["dataset", "case"])
    for reason in bad["reason"]:
        print(f"rca-benchmark evaluate: {reason}", file=sys.stderr)
    if len(bad) < len(refs):
        print_report(args.out)
    return 1 if len(bad) else 0
