"""``report.html`` of a run: over time and as distributions."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS
from llm_benchmark.errors import OptionError
from llm_benchmark.reports.charts import Chart, Line
from llm_benchmark.reports.page import figure, table, write_page
from llm_benchmark.reports.terminal import STATISTICS, TABLE
from llm_benchmark.reports.timeline import Bins, in_flight, quantile_curve, read_requests
from llm_benchmark.summary import SUMMARY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from llm_benchmark.histogram import Histogram
    from llm_benchmark.reports.timeline import Requests

REPORT_NAME = "report.html"
SHARES = (*np.linspace(0.005, 0.985, 99).tolist(), 0.99, 0.993, 0.996, 0.998, 0.999, 1.0)
TIME = "seconds from the start"


def read_summary(folder: Path) -> dict[str, Any]:
    """Return a run's summary.

    Raises:
        OptionError: There is none.
    """
    try:
        text = (folder / SUMMARY_NAME).read_text(encoding="utf-8")
        summary: dict[str, Any] = json.loads(text)
        summary["window"]["run_start_ns"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OptionError(
            f"{folder}: no readable {SUMMARY_NAME} ({error}); give the folder of a finished run"
        ) from error
    return summary


def write_report(folder: Path) -> Path:
    """Write the page of a run from its records and its summary.

    Args:
        folder: The run's folder.

    Returns:
        The page's path.

    Raises:
        OptionError: The folder holds no finished run.
        OSError: The page cannot be written.
    """
    summary = read_summary(folder)
    window = summary["window"]
    start_ns = window["run_start_ns"]
    requests = read_requests(folder, window)
    ends = [window["end_ns"] / SECOND_NS - start_ns / SECOND_NS, 1.0]
    ends += [float(np.nanmax(one)) for one in requests.instants.values() if np.isfinite(one).any()]
    bins = Bins.over(max(ends))
    apart = [
        (0.0, (window["start_ns"] - start_ns) / SECOND_NS),
        ((window["end_ns"] - start_ns) / SECOND_NS, float(bins.edges[-1])),
    ]
    apart = [stretch for stretch in apart if stretch[1] > stretch[0]]
    path = folder / REPORT_NAME
    title = f"Load on {summary['options']['model']}, {summary['started']}"
    charts = [
        *_rates(requests, bins, apart),
        *_latencies(requests, bins, apart),
        *_distributions(requests),
        _errors(requests, bins, apart),
    ]
    parts = [*_head(summary, title), *charts, *_failures(requests), _options(summary)]
    write_page(path, title, parts)
    return path


def _head(summary: dict[str, Any], title: str) -> list[str]:
    valid = summary["valid"]
    verdict = "valid" if valid else f"NOT VALID: {summary['reason']}"
    told = [
        f"{summary['requests']:,} requests, {summary['errors']:,} errors",
        f"{summary['achieved_rate']:.2f} requests/s sent, {summary['requests_per_s']:.2f} answered",
        f"{summary['output_tokens_per_s']:,.1f} output tokens/s",
    ]
    if summary["requested_rate"] is not None:
        told.insert(1, f"{summary['requested_rate']:g} requests/s asked for")
    if summary["goodput"] is not None:
        told.append(f"{summary['goodput']['share']:.1%} within the objectives")
    rows = [
        [
            name,
            *(
                "-" if summary[key][one] is None else f"{summary[key][one]:.2f}"
                for one in STATISTICS
            ),
        ]
        for name, key in TABLE.items()
    ]
    return [
        f"<h1>{escape(title)}</h1>",
        f"<p class='verdict {'' if valid else 'bad'}'>{escape(verdict)}</p>",
        f"<p>{escape(' · '.join(told))}</p>",
        f"<p class='note'>{escape(summary['note'])}</p>" if summary["note"] else "",
        "<h2>Milliseconds</h2>",
        table(["", *STATISTICS], rows),
        "<p class='note'>Of the requests due within the window; shaded in the charts is what lies"
        " outside of it: warm-up, cool-down, and answers that came when the load had ended.</p>",
    ]


def _rates(requests: Requests, bins: Bins, apart: Sequence[tuple[float, float]]) -> list[str]:
    instants = requests.instants
    ended = np.where(requests.error_class == "", instants["end_ns"], np.nan)
    lines = [
        Line(name, bins.starts, [count / bins.width for count in bins.counts(values)])
        for name, values in (
            ("due", instants["intended_ns"]),
            ("sent", instants["sent_ns"]),
            ("answered", ended),
        )
    ]
    rate = Chart("Rate asked for and achieved", TIME, "requests/s", lines, apart, steps=True)
    under_way = Line("in flight", bins.starts, in_flight(requests, bins))
    flight = Chart("Requests in flight", TIME, "requests", [under_way], apart)
    return [figure(rate), figure(flight)]


def _latencies(requests: Requests, bins: Bins, apart: Sequence[tuple[float, float]]) -> list[str]:
    values = {
        "Time to first token": requests.milliseconds("sent", "first_token"),
        "Time between tokens, mean of a request": requests.per_token_ms(requests.events),
        "End to end": requests.milliseconds("sent", "end"),
        "Schedule delay": (requests.instants["sent_ns"] - requests.instants["intended_ns"]) * 1000,
    }
    return [_over_time(requests, bins, name, one, apart) for name, one in values.items()]


def _over_time(
    requests: Requests,
    bins: Bins,
    title: str,
    values: NDArray[np.float64],
    apart: Sequence[tuple[float, float]],
) -> str:
    median, high = bins.quantiles(requests.instants["intended_ns"], values, (0.5, 0.99))
    band = Line("p99", bins.starts, high, low=median)
    chart = Chart(title, TIME, "ms", [Line("p50", bins.starts, median), band], apart)
    return figure(chart, f"By the time at which requests were due, per {bins.width:g} s.")


def _distributions(requests: Requests) -> list[str]:
    first, end = (requests.milliseconds("sent", name) for name in ("first_token", "end"))
    laws = {
        "time to first token": quantile_curve(first[requests.inside]),
        "time between tokens": requests.gaps,
        "end to end": quantile_curve(end[requests.inside]),
    }
    lines = [_cumulative(name, law) for name, law in laws.items()]
    chart = Chart("Distributions", "ms", "share of values not above", lines, log_x=True)
    return [
        figure(chart, "Of the window; cumulative, with the milliseconds on a logarithmic scale.")
    ]


def _cumulative(name: str, law: Histogram) -> Line:
    if not law.count:
        return Line(name, [], [])
    places = [max((law.quantile(share) or 0.0) / MILLISECOND_NS, 1e-4) for share in SHARES]
    return Line(name, places, list(SHARES))


def _errors(requests: Requests, bins: Bins, apart: Sequence[tuple[float, float]]) -> str:
    lines = [
        Line(name, bins.starts, list(bins.counts(ends)))
        for name in sorted(requests.examples)
        for ends in [np.where(requests.error_class == name, requests.instants["end_ns"], np.nan)]
    ]
    if not lines:
        return "<h2>Errors</h2><p>None.</p>"
    return figure(Chart("Errors", TIME, f"per {bins.width:g} s", lines, apart, stacked=True))


def _failures(requests: Requests) -> list[str]:
    if not requests.examples:
        return []
    rows = [
        [name, str(int((requests.error_class == name).sum())), example]
        for name, example in sorted(requests.examples.items())
    ]
    return [table(["class", "requests", "for example"], rows, "words")]


def _options(summary: dict[str, Any]) -> str:
    rows = [
        [name.replace("_", " "), json.dumps(value)]
        for name, value in summary["options"].items()
        if value not in (None, {}, False)
    ]
    return "<h2>Options</h2>" + table(["option", "value"], rows, "words")
