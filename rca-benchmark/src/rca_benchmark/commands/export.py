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
    from rca_benchmark.export.collect import Recording
    from rca_benchmark.export.placement import Placement

PLATFORMS = ("local", "kubernetes")
LAYOUTS = ("native", "original", "rcaeval")


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
    add("--config", type=Path, metavar="FILE", help="YAML: addresses, files with credentials, TLS, "
        "scrape interval, what a case must reach to be accepted (see the README)")  # fmt: skip
    url = "as http://host:port or k8s://namespace/service:port"
    add("--prometheus", metavar="URL", help=f"address of Prometheus: metrics; {url}")
    add("--loki", metavar="URL", help="address of Loki: logs")
    add("--deepflow", metavar="URL", help="address of DeepFlow's querier: traces")
    add("--deepflow-app", metavar="URL", help="address of DeepFlow's app: completes the traces, "
        "for --layout original")  # fmt: skip
    add("--otlp", type=Path, action="append", default=[], metavar="FILE", help="OTLP JSON lines: "
        "traces and logs (may be repeated)")  # fmt: skip
    add("--logs", type=Path, metavar="DIR", help="one sub-folder of log files per service")
    add("--requests", type=Path, metavar="FILE", help="records of the load, copied")
    add("--load-summary", type=Path, metavar="FILE", help="the load's own account; whether it kept "
        "its schedule is noted in the quality record")  # fmt: skip
    add("--injection", type=Path, metavar="FILE", help="what was injected and when")
    add("--environment", type=Path, metavar="FILE", help="versions and machine, copied")
    add("--placement", type=Path, metavar="FILE", help="address, node and GPUs of each service; "
        "its services are the candidates")  # fmt: skip
    add("--layout", choices=LAYOUTS, default="native", help="native (default), the study's own, or "
        "RCAEval's")  # fmt: skip
    add("--out", type=Path, required=True, metavar="CASE_DIR", help="must not exist yet")
    add("--dry-run", action="store_true", help="list what would be asked, and ask nothing")


def _export(args: argparse.Namespace) -> int:
    import pyarrow as pa

    from rca_benchmark.dataset.injection import read_injection
    from rca_benchmark.dataset.native import refuse_existing
    from rca_benchmark.export.answers import Answers
    from rca_benchmark.export.base import SECOND_NS, Window
    from rca_benchmark.export.collect import ask, assemble
    from rca_benchmark.export.placement import Placement, read_placement
    from rca_benchmark.export.quality import read_load
    from rca_benchmark.export.settings import back_ends, read_settings

    # Arrow's usual allocator keeps some hundred megabytes of what was freed.
    if "jemalloc" in pa.supported_memory_backends():
        pa.jemalloc_set_decay_ms(0)
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    refuse_existing(args.out)
    addresses = {
        key: getattr(args, key) for key in ("prometheus", "loki", "deepflow", "deepflow_app")
    }
    settings = read_settings(args.platform, args.config, addresses, tuple(args.otlp), args.logs)
    window = Window(args.start, args.end, settings.catalogue.step_s * SECOND_NS)
    truth = read_injection(args.injection) if args.injection else None
    placement = read_placement(args.placement) if args.placement else Placement()
    load = {"load": read_load(args.load_summary)} if args.load_summary else {}
    attachments = _attachments(args)
    _check_truth(args, truth, window, placement)
    ends = back_ends(settings, window, placement, truth, original=args.layout == "original")
    if args.dry_run:
        print("\n".join(_plan_lines(ends, window)))
        return 0
    answers = Answers.beside(args.out)
    with progress(sum(end.steps for end in ends)) as tick:
        collected = ask(ends, window, tick, answers)
        recording = assemble(
            collected, window, placement=placement, truth=truth, bars=settings.bars
        )
    recording.quality.update(load, rate_window_s=settings.catalogue.window_s)
    _write(args, recording, placement, truth, attachments, settings.catalogue.window_s)
    answers.remove()
    _report(args.out, recording)
    return 0


def _plan_lines(ends: list[BackEnd], window: Window) -> list[str]:
    plans = [(end.name, end.plan(window)) for end in ends]
    return [f"{name}: {where}: {what}" for name, plan in plans for where, what in plan]


def _write(
    args: argparse.Namespace,
    recording: Recording,
    placement: Placement,
    truth: GroundTruth | None,
    attachments: dict[str, Path],
    window_s: int,
) -> None:
    from rca_benchmark.case import Case
    from rca_benchmark.dataset.convert import whole_folder, write_rcaeval
    from rca_benchmark.dataset.native import write_case
    from rca_benchmark.export.original import RESULTS, write_original
    from rca_benchmark.report.quality import quality_lines

    if args.layout == "native":
        write_case(
            args.out,
            recording.observation,
            truth,
            attachments=attachments,
            absent=recording.absent,
            quality=recording.quality,
        )
        return
    with whole_folder(args.out) as partial:
        if args.layout == "original":
            write_original(partial, recording, placement, truth, window_s)
            lines = quality_lines(recording.quality, recording.absent)
            log = partial / RESULTS / "rca-collector.log"
            log.write_text("".join(f"INFO {line}\n" for line in lines), encoding="utf-8")
        elif truth is not None:
            write_rcaeval(partial, Case("", args.out.name, "", recording.observation, truth))


def _report(out: Path, recording: Recording) -> None:
    from rca_benchmark.report.quality import quality_lines

    print(f"case written to {out}")
    print("\n".join(quality_lines(recording.quality, recording.absent)))


def _attachments(args: argparse.Namespace) -> dict[str, Path]:
    given = {
        "requests.parquet": args.requests,
        "environment.json": args.environment,
        "placement.json": args.placement,
    }
    attachments = {name: path for name, path in given.items() if path is not None}
    for path in attachments.values():
        if not path.is_file():
            raise BenchError(f"{path}: no such file")
    return attachments


def _check_truth(
    args: argparse.Namespace, truth: GroundTruth | None, window: Window, placement: Placement
) -> None:
    """Refuse what cannot become a case before any telemetry is fetched."""
    if args.layout == "original" and not placement:
        raise BenchError("--layout original needs --placement")
    if truth is None:
        if args.layout == "rcaeval":
            raise BenchError("--layout rcaeval needs --injection: its folders have an inject time")
        return
    if not window.holds(truth.injection.active_ns):
        raise BenchError(
            f"--injection: active at {truth.injection.active_ns}, outside the window from "
            f"{window.start_ns} to {window.end_ns}"
        )
    if placement and truth.service not in placement.services:
        raise BenchError(f"--injection: target {truth.service} is not in the placement file")
