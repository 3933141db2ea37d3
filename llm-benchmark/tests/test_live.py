from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.request import urlopen

from llm_benchmark.live import Metrics, ProgressLine
from llm_benchmark.records import to_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_benchmark.records import Record

SECOND = 1_000_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_plain_line_comes_every_ten_seconds(
    make_record: Callable[..., Record],
) -> None:
    output = io.StringIO()
    progress = ProgressLine(50, 0, output)
    progress.add(
        to_batch(
            [make_record(sent_ns=0, first_token_ns=20_000_000), make_record(error_class="timeout")]
        )
    )
    for second in range(21):
        progress.show(5, second * SECOND)
    assert output.getvalue().splitlines() == [
        "sent 5/50  done 2  errors 1  in flight 3  TTFT p50 20.0 ms",
        "sent 5/50  done 2  errors 1  in flight 3  TTFT p50 -",
    ]


def test_on_a_terminal_the_line_is_written_over() -> None:
    output = Terminal()
    progress = ProgressLine(None, 0, output)
    progress.show(1, 0)
    progress.show(2, 1)
    progress.say("SIGINT: waiting")
    lines = output.getvalue().split("\r\x1b[K")
    assert [line[:8] for line in lines] == ["", "sent 1  ", "sent 2  ", "SIGINT: "]
    assert output.getvalue().count("\n") == 1


def test_metrics_tell_what_has_happened_so_far(make_record: Callable[..., Record]) -> None:
    metrics = Metrics(0)
    good = make_record(
        intended_ns=0, sent_ns=0, first_token_ns=SECOND // 5, end_ns=SECOND, output_tokens=7
    )
    failed = make_record(intended_ns=0, sent_ns=SECOND // 50, end_ns=SECOND, error_class="timeout")
    metrics.add(to_batch([good, failed]))
    metrics.show(5)
    with urlopen(metrics.url) as answer:  # noqa: S310 our own address
        lines = answer.read().decode().splitlines()
    metrics.close()
    for line in (
        "llm_benchmark_requests_sent 5.0",
        "llm_benchmark_requests_in_flight 3.0",
        'llm_benchmark_requests_total{error_class=""} 1.0',
        'llm_benchmark_requests_total{error_class="timeout"} 1.0',
        "llm_benchmark_output_tokens_total 7.0",
        'llm_benchmark_time_to_first_token_seconds_bucket{le="0.1"} 0.0',
        'llm_benchmark_time_to_first_token_seconds_bucket{le="0.25"} 1.0',
        "llm_benchmark_request_duration_seconds_count 2.0",
        'llm_benchmark_schedule_delay_seconds_bucket{le="0.01"} 1.0',
    ):
        assert line in lines
