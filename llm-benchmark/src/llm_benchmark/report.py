"""What a person sees: the line while a run lasts, the table at its end."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table

from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS

if TYPE_CHECKING:
    from llm_benchmark.records import Record

PLAIN_INTERVAL_NS = 10 * SECOND_NS
LATENCIES = {
    "schedule delay": "schedule_delay_ms",
    "TTFT": "ttft_ms",
    "ITL": "itl_ms",
    "TPOT": "tpot_ms",
    "end to end": "e2e_ms",
    "  from intended": "e2e_from_intended_ms",
}
STATISTICS = ("mean", "p50", "p90", "p99", "p999", "max")


class Progress:
    """One line that lives on a terminal; elsewhere one plain line every 10 s.

    Args:
        planned: Requests in the schedule.
        now_ns: The present instant.
        output: Where to write, None for standard error; a terminal gets the live line.
    """

    def __init__(self, planned: int, now_ns: int, output: TextIO | None = None) -> None:
        self._planned = planned
        self._output = output or sys.stderr
        self._live = self._output.isatty()
        self._shown_ns = now_ns
        self._done = 0
        self._errors = 0
        self._ttft_ns: list[int] = []

    def add(self, record: Record) -> None:
        """Take one finished record."""
        self._done += 1
        self._errors += bool(record.error_class)
        if record.first_token_ns is not None and record.sent_ns is not None:
            self._ttft_ns.append(record.first_token_ns - record.sent_ns)

    def show(self, sent: int, now_ns: int) -> None:
        """Write the line if it is time to; ``sent`` is the number of requests begun."""
        if self._live:
            self._output.write(f"\r\x1b[K{self._line(sent)}")
            self._output.flush()
        elif now_ns - self._shown_ns >= PLAIN_INTERVAL_NS:
            self._shown_ns = now_ns
            self.say(self._line(sent))

    def finish(self, sent: int) -> None:
        """Write the last state as a line of its own."""
        self.say(self._line(sent))

    def say(self, text: str) -> None:
        """Write a line of its own."""
        start = "\r\x1b[K" if self._live else ""
        self._output.write(f"{start}{text}\n")
        self._output.flush()

    def _line(self, sent: int) -> str:
        ttft = "-"
        if self._ttft_ns:
            ttft = f"{statistics.median(self._ttft_ns) / MILLISECOND_NS:.1f} ms"
            self._ttft_ns = []
        return (
            f"sent {sent}/{self._planned}  done {self._done}  errors {self._errors}"
            f"  in flight {sent - self._done}  TTFT p50 {ttft}"
        )


def print_summary(summary: dict[str, Any], output: TextIO | None = None) -> None:
    """Print the figures of a run as a table.

    Args:
        summary: From ``summary.summarise``.
        output: Where to; None is standard output.
    """
    table = Table(title="Milliseconds", title_justify="left")
    table.add_column("")
    for name in STATISTICS:
        table.add_column(name, justify="right")
    for title, key in LATENCIES.items():
        values = [summary[key][name] for name in STATISTICS]
        table.add_row(title, *("-" if value is None else f"{value:.2f}" for value in values))
    classes = ", ".join(f"{name} {number}" for name, number in summary["error_classes"].items())
    console = Console(file=output, highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"requests {summary['requests']} of {summary['planned']}"
        f"   errors {summary['errors']}{f' ({classes})' if classes else ''}\n"
        f"rate {summary['achieved_rate']:.2f}/s of {summary['requested_rate']:g}/s"
        f"   output {summary['output_tokens']} tokens, {summary['output_tokens_per_s']:.1f}/s\n"
        f"{'valid' if summary['valid'] else 'NOT VALID: ' + summary['reason']}",
        markup=False,
    )
