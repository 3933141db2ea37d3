"""The command ``export``: telemetry of a time window to one case folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rca_benchmark.commands.common import add_command, instant, progress
from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    import argparse

    from rca_benchmark.case import GroundTruth
    from rca_benchmark.export.base import BackEnd, Window
    from rca_benchmark.export.prometheus import Prometheus
    from rca_benchmark.export.topology import Placement

PLATFORMS = ("local",)


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    command = add_command(
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
    add("--start", type=instant, required=True, metavar="T", help="ISO 8601 with Z, or epoch ns")
    add("--end", type=instant, required=True, metavar="T", help="ISO 8601 with Z, or epoch ns")
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
    with progress(sum(back_end.steps for back_end in back_ends)) as tick:
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
