"""The command ``evaluate``: methods on cases, scored."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command, positive, progress
from rca_benchmark.commands.report import print_report
from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rca_benchmark.dataset import CaseRef
    from rca_benchmark.evaluation.plan import Plan

TIMEOUT = 600.0
MEMORY_MB = 4096


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    command = add_command(
        commands,
        "evaluate",
        _evaluate,
        "run methods on every case of the data sets and score them; started again with the same "
        "--out, it computes only what is missing",
        "cases --methods baro,nsigma,random --workers 2 --out results",
    )
    add = command.add_argument
    add("datasets", type=Path, nargs="+", metavar="DATASET", help="a folder of cases")
    add("--methods", default="all", metavar="a,b|all", help="names of methods (default: all that "
        "are installed)")  # fmt: skip
    where = command.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, default=1, metavar="N", help="processes "
                       "(default: 1)")  # fmt: skip
    where.add_argument("--ray", metavar="ADDRESS", help="run over this Ray cluster; local starts "
                       "one here")  # fmt: skip
    add("--timeout", type=_seconds, default=TIMEOUT, metavar="S", help="seconds for a method on a "
        f"case (default: {TIMEOUT:g})")  # fmt: skip
    add("--memory", type=positive, default=MEMORY_MB, metavar="MIB", help="memory of a process "
        f"(default: {MEMORY_MB})")  # fmt: skip
    add("--tdelta", type=_delays, default=(0.0,), metavar="S,...", help="seconds by which the "
        "inject time is told late; several for a sweep (default: 0)")  # fmt: skip
    add("--length", type=_lengths, default=(None,), metavar="ROWS,...", help="rows on each side of "
        "the inject time, or all; several for a sweep (default: all)")  # fmt: skip
    add("--fill-limit", type=_count, default=5, metavar="ROWS", help="longest gap that takes the "
        "value before it (default: 5)")  # fmt: skip
    add("--near-constant", type=_share, default=0.0, metavar="SHARE", help="leave out indicators "
        "of whose values no more differ from the most frequent one (default: 0)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="seed of all chance (default: 0)")
    add("--keep-going", action="store_true", help="exit with 0 though a case cannot be read")
    add("--out", type=Path, required=True, metavar="DIR", help="gets results.parquet")


def _evaluate(args: argparse.Namespace) -> int:
    from rca_benchmark.evaluation.runner import evaluate

    plan = _plan(args)
    errors: dict[tuple[str, str], str] = {}

    with progress(plan.size) as tick:

        def done(row: dict[str, object]) -> None:
            tick(f"{row['dataset']} {row['case']} {row['method']}")
            if row["status"] == "error":
                errors[str(row["dataset"]), str(row["case"])] = str(row["reason"])

        try:
            evaluate(plan, args.out, workers=args.workers, ray_address=args.ray, done=done)
        except KeyboardInterrupt:
            print(
                f"rca-benchmark evaluate: interrupted; what is done is in {args.out}, start again "
                "to go on",
                file=sys.stderr,
            )
            return 130
    for reason in dict.fromkeys(errors.values()):
        print(f"rca-benchmark evaluate: {reason}", file=sys.stderr)
    if len(errors) < len(plan.refs):
        print_report(args.out)
    return 1 if errors and not args.keep_going else 0


def _plan(args: argparse.Namespace) -> Plan:
    from rca_benchmark.evaluation.plan import Limits, Plan
    from rca_benchmark.preprocess import Preparation

    return Plan(
        refs=tuple(_find_cases(args.datasets)),
        methods=_methods(args.methods),
        preparations=tuple(
            Preparation(tdelta, length, args.fill_limit, args.near_constant)
            for tdelta, length in itertools.product(args.tdelta, args.length)
        ),
        seed=args.seed,
        limits=Limits(args.timeout, args.memory),
    )


def _find_cases(datasets: Sequence[Path]) -> list[CaseRef]:
    from rca_benchmark.dataset import find_cases

    names = [path.resolve().name for path in datasets]
    if len(set(names)) != len(names):
        raise BenchError(f"two data sets have the same name: {', '.join(names)}; rename one folder")
    return [ref for path in datasets for ref in find_cases(path)]


def _methods(text: str) -> tuple[str, ...]:
    """The names asked for; ``all`` leaves out, and says so, what is not installed."""
    from rca_benchmark.methods import all_methods, get_method

    if text != "all":
        names = tuple(dict.fromkeys(get_method(name).name for name in text.split(",")))
        for name in names:
            if missing := get_method(name).missing:
                raise BenchError(
                    f"method {name} needs {', '.join(missing)}: install its extra "
                    f"{get_method(name).extra}"
                )
        return names
    for method in all_methods():
        if method.missing:
            print(
                f"rca-benchmark evaluate: {method.name} is left out: {', '.join(method.missing)} "
                f"is not installed (extra {method.extra})",
                file=sys.stderr,
            )
    return tuple(method.name for method in all_methods() if not method.missing)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from error
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if value == 0:
        raise argparse.ArgumentTypeError("a time limit of 0 s leaves no time")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share below 1")
    return value


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 0 or more")
    return int(text)


def _delays(text: str) -> tuple[float, ...]:
    return tuple(dict.fromkeys(_number(part) for part in text.split(",")))


def _lengths(text: str) -> tuple[int | None, ...]:
    return tuple(
        dict.fromkeys(None if part == "all" else positive(part) for part in text.split(","))
    )
