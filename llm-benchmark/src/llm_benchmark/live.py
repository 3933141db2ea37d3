"""What is seen while a run lasts: a line on the terminal, and metrics for Prometheus."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any, TextIO

import prometheus_client as prometheus
import pyarrow.compute as pc

from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS

if TYPE_CHECKING:
    import pyarrow as pa

PLAIN_INTERVAL_NS = 10 * SECOND_NS
BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0),
)


class ProgressLine:
    """One line that lives on a terminal; elsewhere one plain line every 10 s.

    Args:
        planned: Requests in the schedule; None: no end is planned.
        now_ns: The present instant.
        output: Where to write, None for standard error; a terminal gets the live line.
    """

    def __init__(self, planned: int | None, now_ns: int, output: TextIO | None = None) -> None:
        self._planned = planned
        self._output = output or sys.stderr
        self._live = self._output.isatty()
        self._shown_ns = now_ns
        self._done = 0
        self._errors = 0
        self._ttft_ns: list[int] = []

    def add(self, records: pa.RecordBatch) -> None:
        """Take in finished records."""
        self._done += len(records)
        self._errors += pc.sum(pc.not_equal(records["error_class"], "")).as_py() or 0
        ttft = pc.subtract(records["first_token_ns"], records["sent_ns"]).drop_null()
        self._ttft_ns += ttft.to_pylist()

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
        of_planned = "" if self._planned is None else f"/{self._planned}"
        return (
            f"sent {sent}{of_planned}  done {self._done}  errors {self._errors}"
            f"  in flight {max(0, sent - self._done)}  TTFT p50 {ttft}"
        )


class Metrics:
    """The generator's own metrics, served on 127.0.0.1 at ``/metrics``.

    Args:
        port: TCP port; 0 takes a free one.

    Raises:
        OSError: The port cannot be listened on.
    """

    def __init__(self, port: int) -> None:
        registry = prometheus.CollectorRegistry()
        own: dict[str, Any] = {"registry": registry, "namespace": "llm_benchmark"}
        self._sent = prometheus.Gauge("requests_sent", "Requests begun.", **own)
        self._in_flight = prometheus.Gauge("requests_in_flight", "Requests without answer.", **own)
        self._ended = prometheus.Counter(
            "requests",
            "Requests that ended, by error class (empty: success).",
            ["error_class"],
            **own,
        )
        self._output = prometheus.Counter("output_tokens", "Tokens received.", **own)
        self._prompt = prometheus.Counter("prompt_tokens", "Tokens sent.", **own)
        self._spans = {
            name: prometheus.Histogram(f"{name}_seconds", meaning, buckets=BUCKETS_S, **own)
            for name, meaning in (
                ("schedule_delay", "From the instant a request was due to its sending."),
                ("time_to_first_token", "From sending to the first token."),
                ("request_duration", "From sending to the end of the answer."),
            )
        }
        self._done = 0
        self._server, self._thread = prometheus.start_http_server(port, "127.0.0.1", registry)

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"http://127.0.0.1:{self._server.server_port}/metrics"

    def add(self, records: pa.RecordBatch) -> None:
        """Take in finished records."""
        self._done += len(records)
        for entry in records["error_class"].value_counts().to_pylist():
            self._ended.labels(entry["values"]).inc(entry["counts"])
        self._output.inc(pc.sum(records["output_tokens"]).as_py() or 0)
        self._prompt.inc(pc.sum(records["prompt_tokens"]).as_py() or 0)
        for name, first, last in (
            ("schedule_delay", "intended_ns", "sent_ns"),
            ("time_to_first_token", "sent_ns", "first_token_ns"),
            ("request_duration", "sent_ns", "end_ns"),
        ):
            for value in pc.subtract(records[last], records[first]).drop_null().to_pylist():
                self._spans[name].observe(value / SECOND_NS)

    def show(self, sent: int) -> None:
        """Take in how many requests were begun."""
        self._sent.set(sent)
        self._in_flight.set(max(0, sent - self._done))

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
