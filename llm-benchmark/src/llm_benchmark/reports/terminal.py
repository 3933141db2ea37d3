"""What a person sees at the end of a run: a table, and a row for spreadsheets."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table

from llm_benchmark.files import replace
from llm_benchmark.summary import PERCENTILES

if TYPE_CHECKING:
    from pathlib import Path

CSV_NAME = "load-summary.csv"
TABLE = {
    "schedule delay": "schedule_delay_ms",
    "event loop lag": "loop_lag_ms",
    "TTFT": "ttft_ms",
    "  from intended": "ttft_from_intended_ms",
    "ITL": "itl_ms",
    "TPOT": "tpot_ms",
    "end to end": "e2e_ms",
    "  from intended ": "e2e_from_intended_ms",
}
STATISTICS = ("mean", *PERCENTILES, "max")


def print_summary(summary: dict[str, Any], output: TextIO | None = None) -> None:
    """Print the figures of a run as a table.

    Args:
        summary: From ``summary.Figures``.
        output: Where to; None is standard output.
    """
    table = Table(title="Milliseconds", title_justify="left")
    table.add_column("")
    for name in STATISTICS:
        table.add_column(name, justify="right")
    for title, key in TABLE.items():
        values = [summary[key][name] for name in STATISTICS]
        table.add_row(title, *("-" if value is None else f"{value:.2f}" for value in values))
    console = Console(file=output, highlight=False, soft_wrap=True)
    console.print(table)
    console.print("\n".join(_lines(summary)), markup=False)


def _lines(summary: dict[str, Any]) -> list[str]:
    classes = ", ".join(f"{name} {number}" for name, number in summary["error_classes"].items())
    of_planned = "" if summary["planned"] is None else f" of {summary['planned']}"
    apart = "".join(
        f"   {name} {summary[key]['requests']} requests apart"
        for name, key in (("warm-up", "warmup"), ("cool-down", "cooldown"))
        if summary[key]["requests"]
    )
    asked = summary["requested_rate"]
    of_asked = "" if asked is None else f" of {asked:g}/s"
    lines = [
        f"requests {summary['requests']}{of_planned}"
        f"   errors {summary['errors']}{f' ({classes})' if classes else ''}{apart}",
        f"rate {summary['achieved_rate']:.2f}/s{of_asked}"
        f"   output {summary['output_tokens']} tokens, {summary['output_tokens_per_s']:.1f}/s"
        f"   client {summary['client_cpu']['s_per_1000_requests']:.2f} CPU s per 1000 requests",
    ]
    goodput = summary["goodput"]
    if goodput is not None:
        slo = ", ".join(f"{name} {most:g} ms" for name, most in goodput["slo"].items())
        lines.append(
            f"goodput {goodput['requests_per_s']:.2f}/s: {goodput['share']:.1%} of the requests"
            f" within {slo}"
        )
    if summary["note"]:
        lines.append(f"note: {summary['note']}")
    lines.append("valid" if summary["valid"] else "NOT VALID: " + summary["reason"])
    return lines


def write_csv(summary: dict[str, Any], path: Path) -> None:
    """Write a summary as one row under its header.

    The first columns are those of the summary row that the study's load generator writes, in its
    names and order: averages in ms.

    Raises:
        OSError: The file cannot be written.
    """
    row = _study_columns(summary) | _flat(summary)
    with replace(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)


def _study_columns(summary: dict[str, Any]) -> dict[str, Any]:
    options, requests = summary["options"], summary["requests"]
    good = max(1, requests - summary["errors"])
    if options["concurrency"] is None:
        concurrency = f"QPS {summary['requested_rate'] or summary['achieved_rate']:g} "
        concurrency += options["arrivals"]
    else:
        concurrency = str(options["concurrency"])
    return {
        "Provider": options["provider"],
        "Model": options["model"],
        "Prompt Tokens": summary["prompt_tokens"] / good,
        "Generation Tokens": options["output_tokens"],
        "Stream": options["stream"],
        "Temperature": options["body"].get("temperature"),
        "Logprobs": options["body"].get("logprobs"),
        "Concurrency": concurrency,
        "Time To First Token": summary["ttft_ms"]["mean"],
        "Latency Per Token": summary["tpot_ms"]["mean"],
        "Num Tokens": summary["output_tokens"] / good,
        "Total Latency": summary["e2e_ms"]["mean"],
        "Num Requests": requests,
        "Qps": summary["requests_per_s"],
    }


def _flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested objects as one, with the names joined by points."""
    flat: dict[str, Any] = {}
    for name, one in value.items():
        flat |= _flat(one, f"{before}{name}.") if isinstance(one, dict) else {before + name: one}
    return flat
