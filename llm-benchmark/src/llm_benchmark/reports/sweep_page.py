"""``sweep.html``: what each rate showed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from llm_benchmark.reports.charts import Chart, Line
from llm_benchmark.reports.page import figure, table, write_page

if TYPE_CHECKING:
    from pathlib import Path


def write_sweep_page(content: dict[str, Any], path: Path) -> None:
    """Write the page of a sweep.

    Args:
        content: What ``sweep.json`` holds.
        path: The file to write.

    Raises:
        OSError: The file cannot be written.
    """
    steps = content["steps"]
    rates = [step["rate"] for step in steps]
    best = content["highest_rate"]
    verdict = "no rate passes" if best is None else f"{best:.4g} requests/s pass"
    objectives = ", ".join(f"{name} {most:g} ms" for name, most in content["slo_ms"].items())
    charts = [
        Chart("Within the objectives", "requests/s", "share", [_line(rates, steps, "share")]),
        Chart(
            "Time to first token",
            "requests/s",
            "ms",
            [_line(rates, steps, "TTFT p50"), _line(rates, steps, "TTFT p99")],
        ),
        Chart("Time between tokens", "requests/s", "ms", [_line(rates, steps, "ITL p99")]),
        Chart("Throughput", "requests/s", "tokens/s", [_line(rates, steps, "output tokens/s")]),
    ]
    rows = [[_cell(value) for value in step.values()] for step in steps]
    parts = [
        "<h1>How much load is borne</h1>",
        f"<p class='verdict'>{escape(verdict)}</p><p>{escape(content['reason'])}; objectives:"
        f" {escape(objectives)} for {content['share']:.0%} of the requests</p>",
        table(list(steps[0]), rows),
        *(figure(chart) for chart in charts),
    ]
    write_page(path, "How much load is borne", parts)


def _line(rates: list[float], steps: list[dict[str, Any]], name: str) -> Line:
    return Line(name, rates, [step[name] for step in steps])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
