from __future__ import annotations

import io
import json
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from llm_benchmark.records import SCHEMA, to_batch
from llm_benchmark.report import print_summary
from llm_benchmark.summary import peak_in_flight, spread, summarise
from llm_benchmark.worker import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_benchmark.options import RunOptions
    from llm_benchmark.records import Record

    MakeRecord = Callable[..., Record]
    MakeOptions = Callable[..., RunOptions]

MS = 1_000_000
START = 1_800_000_000_000_000_000  # 2027-01-15T08:00:00Z


def table(*records: Record) -> pa.Table:
    return pa.Table.from_batches([to_batch(list(records))] if records else [], SCHEMA)


def request(make_record: MakeRecord, due: int, late: int, **values: Any) -> Record:
    """Return a good record, due and late in ms; its tokens come 20, 30 and 50 ms after sending."""
    sent = START + (due + late) * MS
    known = {
        "intended_ns": START + due * MS,
        "sent_ns": sent,
        "first_byte_ns": sent + 10 * MS,
        "first_token_ns": sent + 20 * MS,
        "last_token_ns": sent + 50 * MS,
        "end_ns": sent + 60 * MS,
        "itl_ns": [10 * MS, 20 * MS],
        "prompt_tokens": 8,
        "output_tokens": 3,
        "tokens_from": "usage",
        "status": 200,
    }
    return make_record(**known | values)


@pytest.fixture
def summary(make_record: MakeRecord, make_options: MakeOptions) -> dict[str, Any]:
    records = [request(make_record, due=100 * index, late=index) for index in range(3)]
    failed = [
        request(make_record, due=300, late=1, error_class="timeout", end_ns=START + 1000 * MS),
        request(make_record, due=400, late=0, error_class="http_503", itl_ns=[999 * MS]),
        request(make_record, due=500, late=2, error_class="timeout"),
    ]
    return summarise(
        table(*records, *failed),
        make_options(rate=10.0, duration_ns=600 * MS),
        start_ns=START,
        planned=6,
        stop=None,
    )


def test_requests_and_errors_are_counted(summary: dict[str, Any]) -> None:
    assert (summary["planned"], summary["requests"], summary["errors"]) == (6, 6, 3)
    assert list(summary["error_classes"].items()) == [("timeout", 2), ("http_503", 1)]


def test_latencies_are_those_of_successful_requests(summary: dict[str, Any]) -> None:
    assert set(summary["ttft_ms"].values()) == {20.0}
    assert set(summary["e2e_ms"].values()) == {60.0}
    assert set(summary["tpot_ms"].values()) == {15.0}
    assert summary["itl_ms"]["mean"] == 15.0
    assert (summary["itl_ms"]["p50"], summary["itl_ms"]["max"]) == (15.0, 20.0)


def test_latency_from_the_intended_instant_includes_the_delay(summary: dict[str, Any]) -> None:
    assert summary["ttft_from_intended_ms"]["mean"] == 21.0
    assert summary["e2e_from_intended_ms"]["max"] == 62.0


def test_the_schedule_delay_counts_every_request(summary: dict[str, Any]) -> None:
    delay = summary["schedule_delay_ms"]
    assert (delay["mean"], delay["p50"], delay["max"]) == (1.0, 1.0, 2.0)
    assert (summary["valid"], summary["reason"]) == (True, "")


def test_rates_and_tokens(summary: dict[str, Any]) -> None:
    assert summary["requested_rate"] == 10.0
    assert summary["achieved_rate"] == pytest.approx(6 / 0.6)
    assert (summary["prompt_tokens"], summary["output_tokens"]) == (24, 9)
    assert summary["output_tokens_per_s"] == pytest.approx(9 / 1.0)
    assert summary["started"] == "2027-01-15T08:00:00.000000Z"
    assert summary["ended"] == "2027-01-15T08:00:01.000000Z"


def test_the_options_are_part_of_the_summary(summary: dict[str, Any]) -> None:
    assert summary["seed"] == 0
    assert summary["options"]["model"] == "stub"
    json.dumps(summary, allow_nan=False)


def test_percentiles_interpolate_linearly() -> None:
    figures = spread(np.arange(1, 101) * MS)
    assert figures == {
        "mean": 50.5,
        "p50": 50.5,
        "p90": 90.1,
        "p95": 95.05,
        "p99": 99.01,
        "p999": 99.901,
        "max": 100.0,
    }


def test_a_late_client_makes_the_run_invalid(
    make_record: MakeRecord, make_options: MakeOptions
) -> None:
    records = table(*(request(make_record, due=index, late=11) for index in range(10)))
    summary = summarise(records, make_options(), start_ns=START, planned=10, stop=None)
    assert not summary["valid"]
    assert summary["reason"].startswith("the client was late: p99 schedule delay 11.0 ms")


def test_sending_late_lowers_the_achieved_rate(
    make_record: MakeRecord, make_options: MakeOptions
) -> None:
    records = table(*(request(make_record, due=0, late=400 * index) for index in range(6)))
    options = make_options(rate=6.0, duration_ns=1000 * MS)
    summary = summarise(records, options, start_ns=START, planned=6, stop=None)
    assert summary["achieved_rate"] == pytest.approx(6 / 2.0)


def test_an_interrupted_run_is_invalid_and_says_how_far_it_came(
    make_record: MakeRecord, make_options: MakeOptions
) -> None:
    summary = summarise(
        table(request(make_record, due=0, late=0)),
        make_options(),
        start_ns=START,
        planned=20,
        stop=Stop(signal.SIGINT, START + 500 * MS),
    )
    assert not summary["valid"]
    assert summary["reason"] == "interrupted by SIGINT: 1 of 20 requests sent"
    assert summary["achieved_rate"] == pytest.approx(2.0)


def test_a_run_without_requests_has_no_figures(make_options: MakeOptions) -> None:
    stop = Stop(signal.SIGTERM, START - MS)
    summary = summarise(table(), make_options(), start_ns=START, planned=20, stop=stop)
    assert (summary["requests"], summary["errors"], summary["achieved_rate"]) == (0, 0, 0.0)
    assert set(summary["ttft_ms"].values()) == {None}
    json.dumps(summary, allow_nan=False)


def test_one_token_has_no_time_per_output_token(
    make_record: MakeRecord, make_options: MakeOptions
) -> None:
    records = table(request(make_record, due=0, late=0, output_tokens=1, itl_ns=[]))
    summary = summarise(records, make_options(), start_ns=START, planned=1, stop=None)
    assert summary["tpot_ms"]["mean"] is None
    assert summary["itl_ms"]["mean"] is None


def test_plain_answers_have_end_to_end_latency_only(
    make_record: MakeRecord, make_options: MakeOptions
) -> None:
    values = {"first_token_ns": None, "last_token_ns": None, "itl_ns": [], "stream": False}
    records = table(request(make_record, due=0, late=0, **values))
    summary = summarise(records, make_options(), start_ns=START, planned=1, stop=None)
    assert summary["e2e_ms"]["mean"] == 60.0
    assert summary["ttft_ms"]["mean"] is summary["tpot_ms"]["mean"] is None


def test_more_requests_in_flight_than_connections_make_the_run_invalid(
    make_record: MakeRecord, make_options: MakeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_benchmark.summary.CONNECTION_LIMIT", 2)
    records = table(*(request(make_record, due=index, late=0) for index in range(3)))
    assert peak_in_flight(records) == 3
    summary = summarise(records, make_options(), start_ns=START, planned=3, stop=None)
    assert summary["reason"].startswith("requests waited in the client: 3 in flight over 2")


def test_requests_that_follow_each_other_are_not_in_flight_together(
    make_record: MakeRecord,
) -> None:
    assert peak_in_flight(table(*(request(make_record, due=60 * i, late=0) for i in range(5)))) == 1


def test_the_table_shows_figures_errors_and_verdict(summary: dict[str, Any]) -> None:
    output = io.StringIO()
    print_summary(summary, output)
    text = output.getvalue()
    assert "requests 6 of 6   errors 3 (timeout 2, http_503 1)" in text
    assert "rate 10.00/s of 10/s" in text
    assert "20.00" in text
    assert text.rstrip().endswith("valid")
