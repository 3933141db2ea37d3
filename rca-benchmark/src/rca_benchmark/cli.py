"""The command ``rca-benchmark``. Heavy imports wait inside the commands that need them."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rca_benchmark.case import GroundTruth
    from rca_benchmark.export.base import BackEnd, Window
    from rca_benchmark.export.prometheus import Prometheus
    from rca_benchmark.export.topology import Placement

PLATFORMS = ("local",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, or 1 after one line on stderr that says what went wrong.
    """
    args = build_parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except (BenchError, OSError) as error:
        print(f"rca-benchmark {args.command}: {error}", file=sys.stderr)
        return 1
    return status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="rca-benchmark",
        description="Telemetry to cases, cases to rankings, rankings to scores.",
        epilog="Each command has a --help of its own, with an example.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_export(commands)
    _add_evaluate(commands)
    _add_report(commands)
    _add_dataset(commands)
    _add_diagnose(commands)
    _add(commands, "methods", _methods, "list the methods and what they need", "")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  rca-benchmark {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(
        commands,
        "export",
        _export,
        "write the telemetry of a time window as one case folder",
        "--platform local --start 2026-11-23T07:00:00Z --end 2026-11-23T07:10:00Z \\\n"
        "    --prometheus http://127.0.0.1:9090 --otlp traces.jsonl --logs logs \\\n"
        "    --injection injection.json --placement placement.json --out cases/cpu-ray-head-1",
    )
    add = command.add_argument
    add("--platform", choices=PLATFORMS, required=True, help="where the stack runs")
    add("--start", type=_instant, required=True, metavar="T", help="ISO 8601 with Z, or epoch ns")
    add("--end", type=_instant, required=True, metavar="T", help="ISO 8601 with Z, or epoch ns")
    add("--prometheus", metavar="URL", help="address of Prometheus: metrics")
    add("--otlp", type=Path, action="append", default=[], metavar="FILE", help="OTLP JSON lines: "
        "traces (may be repeated)")  # fmt: skip
    add("--logs", type=Path, metavar="DIR", help="one sub-folder of log files per service")
    add("--requests", type=Path, metavar="FILE", help="records of the load, copied")
    add("--injection", type=Path, metavar="FILE", help="what was injected and when")
    add("--environment", type=Path, metavar="FILE", help="versions and machine, copied")
    add("--placement", type=Path, metavar="FILE", help="address and node of each service; its "
        "services are the candidates")  # fmt: skip
    add("--out", type=Path, required=True, metavar="CASE_DIR", help="must not exist yet")


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(
        commands,
        "evaluate",
        _evaluate,
        "run methods on every case of the data sets and score them",
        "cases --methods baro,nsigma,random --workers 2 --out results",
    )
    add = command.add_argument
    add("datasets", type=Path, nargs="+", metavar="DATASET", help="a folder of cases")
    add("--methods", default="all", metavar="a,b|all", help="names of methods (default: all)")
    add("--workers", type=_positive, default=1, metavar="N", help="processes (default: 1)")
    add("--seed", type=int, default=0, metavar="N", help="seed of all chance (default: 0)")
    add("--out", type=Path, required=True, metavar="DIR", help="gets results.parquet")


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "write leaderboard.csv from results.parquet and print it"
    command = _add(commands, "report", _report, text, "results")
    command.add_argument("directory", type=Path, metavar="DIR", help="holds results.parquet")


def _add_dataset(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "describe a data set, or check that its cases are whole"
    command = _add(commands, "dataset", _dataset, text, "validate cases")
    command.add_argument("action", choices=("describe", "validate"))
    command.add_argument("directory", type=Path, metavar="DATASET", help="a folder of cases")


def _add_diagnose(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "rank the suspects of one case, without reading its ground truth"
    command = _add(commands, "diagnose", _diagnose, text, "cases/cpu-ray-head-1 --method baro")
    command.add_argument("directory", type=Path, metavar="CASE_DIR")
    command.add_argument("--method", default="baro", metavar="NAME", help="(default: baro)")


def _export(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset.injection import read_injection
    from rca_benchmark.dataset.native import refuse_existing, write_case
    from rca_benchmark.export import collect
    from rca_benchmark.export.base import Window
    from rca_benchmark.export.topology import read_placement
    from rca_benchmark.report.quality import quality_lines

    refuse_existing(args.out)
    window = Window(args.start, args.end)
    attachments = _attachments(args)
    truth = read_injection(args.injection) if args.injection else None
    placement = read_placement(args.placement) if args.placement else {}
    _check_truth(truth, window, placement)
    back_ends, prometheus = _back_ends(args, placement)
    with _progress(sum(back_end.steps for back_end in back_ends)) as tick:
        scrapes = {}
        if prometheus is not None and truth is not None:
            until = truth.injection.removed_ns or window.end_ns
            scrapes = prometheus.scrape_health(truth.injection.active_ns, until, window.step_ns)
        recording = collect(
            back_ends, window, tick, placement=placement, truth=truth, scrapes=scrapes
        )
    write_case(
        args.out,
        recording.observation,
        truth,
        attachments=attachments,
        absent=recording.absent,
        quality=recording.quality,
    )
    print(f"case written to {args.out}")
    print("\n".join(quality_lines(recording.quality, recording.absent)))
    return 0


def _attachments(args: argparse.Namespace) -> dict[str, Path]:
    given = {"requests.parquet": args.requests, "environment.json": args.environment}
    attachments = {name: path for name, path in given.items() if path is not None}
    for path in attachments.values():
        if not path.is_file():
            raise BenchError(f"{path}: no such file")
    return attachments


def _check_truth(truth: GroundTruth | None, window: Window, placement: Placement) -> None:
    """Refuse what cannot become a case before any telemetry is fetched."""
    if truth is None:
        return
    if not window.holds(truth.injection.active_ns):
        raise BenchError(
            f"--injection: active at {truth.injection.active_ns}, outside the window from "
            f"{window.start_ns} to {window.end_ns}"
        )
    if placement and truth.service not in placement:
        raise BenchError(f"--injection: target {truth.service} is not in the placement file")


def _back_ends(
    args: argparse.Namespace, placement: Placement
) -> tuple[list[BackEnd], Prometheus | None]:
    from rca_benchmark.export.indicators import read_catalogue
    from rca_benchmark.export.logfiles import LogFiles
    from rca_benchmark.export.nginx import AccessLog
    from rca_benchmark.export.otlp import OtlpFiles
    from rca_benchmark.export.prometheus import Prometheus

    if not (args.prometheus or args.logs):
        raise BenchError("no source of metrics: give --prometheus, --logs or both")
    prometheus = None
    back_ends: list[BackEnd] = [AccessLog(args.logs)]
    if args.logs:
        back_ends.append(LogFiles(args.logs))
    if args.otlp:
        back_ends.append(OtlpFiles(tuple(args.otlp)))
    if args.prometheus:
        nodes = sorted({place["node"] for place in placement.values()})
        prometheus = Prometheus(
            url=args.prometheus.rstrip("/"),
            queries=read_catalogue(args.platform),
            services=tuple(sorted(placement)),
            nodes=tuple(nodes),
        )
        back_ends.append(prometheus)
    return back_ends, prometheus


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
    with _progress(len(refs)) as tick:
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
        _print_report(args.out)
    return 1 if len(bad) else 0


def _report(args: argparse.Namespace) -> int:
    _print_report(args.directory)
    return 0


def _print_report(directory: Path) -> None:
    from rich.console import Console

    from rca_benchmark.evaluation.results import read_results
    from rca_benchmark.report.leaderboard import build_leaderboard, write_leaderboard
    from rca_benchmark.report.table import leaderboard_tables

    board = build_leaderboard(read_results(directory))
    path = write_leaderboard(board, directory)
    console = Console()
    for table in leaderboard_tables(board):
        console.print(table)
    print(f"leaderboard written to {path}")


def _dataset(args: argparse.Namespace) -> int:
    from rca_benchmark.dataset import describe

    if args.action == "describe":
        print("\n".join(describe.describe(args.directory)))
        return 0
    problems = describe.validate(args.directory)
    for problem in problems:
        print(f"rca-benchmark dataset validate: {problem}", file=sys.stderr)
    if not problems:
        print(f"{args.directory}: every case is whole")
    return 1 if problems else 0


def _diagnose(args: argparse.Namespace) -> int:
    from rich.console import Console

    from rca_benchmark.dataset import read_observation
    from rca_benchmark.report.diagnosis import diagnosis_table

    Console().print(diagnosis_table(read_observation(args.directory), args.method))
    return 0


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


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr; yields what to call after each step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda label: progress.update(task, advance=1, description=label)


def _instant(text: str) -> int:
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


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
