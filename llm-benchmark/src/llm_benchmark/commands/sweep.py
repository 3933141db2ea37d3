"""``llm-benchmark sweep``: find the highest rate that meets objectives."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from llm_benchmark.commands import load, parsing
from llm_benchmark.commands.run import add_measures, add_server, run_options
from llm_benchmark.errors import OptionError
from llm_benchmark.files import replace, write_json
from llm_benchmark.reports.run_page import read_summary
from llm_benchmark.reports.sweep_page import write_sweep_page
from llm_benchmark.run import run_load
from llm_benchmark.sweep import Step, find_limit
from llm_benchmark.units import positive_duration

if TYPE_CHECKING:
    import argparse

    from llm_benchmark.commands.parsing import Commands
    from llm_benchmark.options import RunOptions
    from llm_benchmark.sweep import Found

TEXT = """\
Find the highest rate at which a server meets its objectives: runs at doubling rates until too few
requests meet --slo, then between the last two, until they are within --precision. A failed request
meets nothing. A run in which the client could not keep up does not pass, and the result says so.

Writes into --out: sweep.json, sweep.csv, sweep.html, and the folder of each run, rate-R.
"""

EXAMPLE = """\
example, against 'llm-benchmark stub-server --port 8099':

  llm-benchmark sweep --url http://127.0.0.1:8099 --provider vllm --model stub \\
      --slo ttft=200ms,itl=50ms --min-rate 10 --max-rate 40 --step-duration 1s --out sweep
"""
FIGURES = {
    "achieved rate": ("achieved_rate",),
    "TTFT p50": ("ttft_ms", "p50"),
    "TTFT p99": ("ttft_ms", "p99"),
    "ITL p99": ("itl_ms", "p99"),
    "output tokens/s": ("output_tokens_per_s",),
}


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(
        commands, "sweep", "find the highest rate that meets objectives", TEXT, EXAMPLE
    )
    add_server(parser)
    group = parser.add_argument_group("which rates")
    add_ = group.add_argument
    add_("--min-rate", type=parsing.rate, default=1.0, help="rate to begin with (default 1)")
    add_("--max-rate", type=parsing.rate, required=True, help="rate to end with")
    add_(
        "--step-duration",
        type=positive_duration,
        default="30s",
        metavar="TIME",
        help="how long each rate lasts (default 30s)",
    )
    add_(
        "--precision",
        type=parsing.factor,
        default=0.1,
        metavar="SHARE",
        help="how close to come to the limit (default 0.1: within 10 %%)",
    )
    add_(
        "--share",
        type=parsing.share,
        default=0.95,
        help="share of the requests that must meet --slo (default 0.95)",
    )
    load.add_arrivals(parser, with_rate=False)
    load.add_content(parser)
    add_measures(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the results"
    )


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    if not chosen.slo:
        raise OptionError("--slo: is needed to tell a good rate from a bad one")
    if chosen.min_rate > chosen.max_rate:
        raise OptionError("--min-rate: is above --max-rate")
    _options(chosen, chosen.min_rate).check()
    found = find_limit(
        lambda rate: _measure(chosen, rate), chosen.min_rate, chosen.max_rate, chosen.precision
    )
    _write(found, chosen)
    _print(found)
    return 0 if found.best is not None else 1


def _options(chosen: argparse.Namespace, rate: float) -> RunOptions:
    return run_options(
        chosen,
        load=load.load_options(chosen, rate=rate, duration=chosen.step_duration),
        shard=(0, 1),
        out=chosen.out / f"rate-{rate:.6g}",
    )


def _measure(chosen: argparse.Namespace, rate: float) -> Step:
    options = _options(chosen, rate)
    print(f"{rate:.4g} requests/s", flush=True)
    status = run_load(options)
    if status > 1:
        raise KeyboardInterrupt
    summary = read_summary(options.out)
    met = summary["goodput"]["share"] >= chosen.share
    return Step(rate, met and summary["valid"], not summary["valid"], summary)


def _write(found: Found, chosen: argparse.Namespace) -> None:
    rows = [_row(step) for step in sorted(found.steps, key=lambda step: step.rate)]
    content = {
        "highest_rate": found.best and found.best.rate,
        "reason": found.reason,
        "slo_ms": chosen.slo,
        "share": chosen.share,
        "steps": rows,
    }
    write_json(chosen.out / "sweep.json", content)
    with replace(chosen.out / "sweep.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_sweep_page(content, chosen.out / "sweep.html")


def _row(step: Step) -> dict[str, Any]:
    row: dict[str, Any] = {"rate": step.rate, "passed": step.passed}
    row["share"] = step.summary["goodput"]["share"]
    for name, path in FIGURES.items():
        value: Any = step.summary
        for part in path:
            value = value[part]
        row[name] = value
    return row | {"client failed": step.client_failed}


def _print(found: Found) -> None:
    rows = [_row(step) for step in sorted(found.steps, key=lambda step: step.rate)]
    table = Table()
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(f"{one:.4g}" if isinstance(one, float) else str(one) for one in row.values())
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    best = "none" if found.best is None else f"{found.best.rate:.4g} requests/s"
    console.print(f"highest rate that passes: {best}; {found.reason}", markup=False)
