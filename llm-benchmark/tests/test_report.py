from __future__ import annotations

import io
from typing import TYPE_CHECKING

from llm_benchmark.report import Progress

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
    progress = Progress(50, 0, output)
    progress.add(make_record(sent_ns=0, first_token_ns=20_000_000))
    progress.add(make_record(error_class="timeout"))
    for second in range(21):
        progress.show(5, second * SECOND)
    assert output.getvalue().splitlines() == [
        "sent 5/50  done 2  errors 1  in flight 3  TTFT p50 20.0 ms",
        "sent 5/50  done 2  errors 1  in flight 3  TTFT p50 -",
    ]


def test_on_a_terminal_the_line_is_written_over() -> None:
    output = Terminal()
    progress = Progress(50, 0, output)
    progress.show(1, 0)
    progress.show(2, 1)
    progress.say("SIGINT: waiting")
    lines = output.getvalue().split("\r\x1b[K")
    assert [line[:9] for line in lines] == ["", "sent 1/50", "sent 2/50", "SIGINT: w"]
    assert output.getvalue().count("\n") == 1
