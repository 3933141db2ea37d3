from __future__ import annotations

import csv
import io
import json
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from llm_benchmark.histogram import Histogram
from llm_benchmark.records import SCHEMA, to_batch
from llm_benchmark.reports.terminal import print_summary, write_csv
from llm_benchmark.summary import Course, Figures, Stop, Window, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llm_benchmark.options import RunOptions
    from llm_benchmark.records import Record

    MakeRecord = Callable[..., Record]
    MakeOptions = Callable[..., RunOptions]
    Summarise = Callable[..., dict[str, Any]]

MS = 1_000_000
START = 1_800_000_000_000_000_000  # 2027-01-15T08:00:00Z
NO_LAG = spread(Histogram())


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
def summarise(make_options: MakeOptions) -> Summarise:
    """Summarise records of a run of 600 ms, given in any number of tables."""

    def make(
        *tables: pa.Table,
        slo: dict[str, float] | None = None,
        window: tuple[int, int | None] = (0, 600),
        **course: Any,
    ) -> dict[str, Any]:
        start, end = window
        span = Window(START, START + start * MS, None if end is None else START + end * MS)
        figures = Figures(span, slo or {})
        for one in tables:
            figures.add(one)
        known: dict[str, Any] = {
            "planned": 6,
            "scheduled": 6,
            "requested_rate": 10.0,
            "stop": None,
            "lag": NO_LAG,
            "busiest_cpu": 0.1,
            "cpu_s": 0.012,
            "peaks": (3,),
            "unsent_turns": 0,
            "lost": (),
            "clock_drift_ns": 0,
            "note": "",
        }
        return figures.summary(Course(**known | course), make_options().describe())

    return make


@pytest.fixture
def summary(make_record: MakeRecord, summarise: Summarise) -> dict[str, Any]:
    records = [request(make_record, due=100 * index, late=index) for index in range(3)]
    failed = [
        request(make_record, due=300, late=1, error_class="timeout", end_ns=START + 1000 * MS),
        request(make_record, due=400, late=0, error_class="http_503", itl_ns=[999 * MS]),
        request(make_record, due=500, late=2, error_class="timeout"),
    ]
    return summarise(table(*records), table(*failed), table())


def test_requests_and_errors_are_counted(summary: dict[str, Any]) -> None:
    assert (summary["planned"], summary["requests"], summary["errors"]) == (6, 6, 3)
    assert list(summary["error_classes"].items()) == [("timeout", 2), ("http_503", 1)]


def test_latencies_are_those_of_successful_requests(summary: dict[str, Any]) -> None:
    assert set(summary["ttft_ms"].values()) == {20.0}
    assert set(summary["e2e_ms"].values()) == {60.0}
    assert set(summary["tpot_ms"].values()) == {15.0}
    assert summary["itl_ms"]["mean"] == 15.0
    assert summary["itl_ms"]["p50"] == pytest.approx(10, rel=2e-4)
    assert summary["itl_ms"]["max"] == 20.0


def test_latency_from_the_intended_instant_includes_the_delay(summary: dict[str, Any]) -> None:
    assert summary["ttft_from_intended_ms"]["mean"] == 21.0
    assert summary["e2e_from_intended_ms"]["max"] == 62.0


def test_the_schedule_delay_counts_every_request(summary: dict[str, Any]) -> None:
    delay = summary["schedule_delay_ms"]
    assert (delay["mean"], delay["max"]) == (1.0, 2.0)
    assert delay["p50"] == pytest.approx(1, rel=2e-4)
    assert (summary["valid"], summary["reason"]) == (True, "")


def test_rates_and_tokens(summary: dict[str, Any]) -> None:
    assert (summary["requested_rate"], summary["scheduled_rate"]) == (10.0, 6 / 0.6)
    assert summary["achieved_rate"] == pytest.approx(6 / 0.6)
    assert summary["requests_per_s"] == pytest.approx(3 / 0.6)
    assert (summary["prompt_tokens"], summary["output_tokens"]) == (24, 9)
    assert summary["output_tokens_per_s"] == pytest.approx(9 / 0.6)
    assert summary["started"] == "2027-01-15T08:00:00.000000Z"
    assert summary["ended"] == "2027-01-15T08:00:01.000000Z"
    assert summary["client_cpu"]["s_per_1000_requests"] == 2.0


def test_the_options_are_part_of_the_summary(summary: dict[str, Any]) -> None:
    assert summary["seed"] == 0
    assert summary["options"]["model"] == "stub"
    assert summary["options"]["duration"] == 0.2
    json.dumps(summary, allow_nan=False)


def test_percentiles_are_values_of_that_rank() -> None:
    values = Histogram()
    values.add(np.arange(1, 101) * MS)
    figures = spread(values)
    assert (figures["mean"], figures["max"]) == (50.5, 100.0)
    for name, exact in {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p999": 100}.items():
        assert figures[name] == pytest.approx(exact, rel=1.3e-4)


def test_warm_up_and_cool_down_are_cut_by_the_time_at_which_requests_were_due(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    early = request(make_record, due=90, late=30, first_token_ns=START + 500 * MS)
    inside = [request(make_record, due=100 + 100 * index, late=0) for index in range(4)]
    late = request(make_record, due=500, late=0, error_class="timeout")
    summary = summarise(table(early, *inside, late), window=(100, 500))
    assert (summary["requests"], summary["errors"]) == (4, 0)
    assert summary["warmup"] == {"requests": 1, "errors": 0}
    assert summary["cooldown"] == {"requests": 1, "errors": 1}
    assert summary["ttft_ms"]["max"] == 20.0
    assert summary["achieved_rate"] == pytest.approx(4 / 0.4)
    assert summary["window"]["duration_s"] == 0.4


def test_throughput_counts_what_came_within_the_window(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    # Tokens at 70, 80 and 100 ms: the last alone lies within, and the end at 110 ms.
    before = request(make_record, due=50, late=0)
    # Tokens at 470, 480 and 500 ms: two lie within, and the end does not.
    after = request(make_record, due=450, late=0)
    plain = {"first_token_ns": None, "last_token_ns": None, "itl_ns": []}
    whole = request(make_record, due=200, late=0, output_tokens=30, **plain)
    summary = summarise(table(before, after, whole), window=(100, 500))
    assert summary["output_tokens_per_s"] == pytest.approx((1 + 2 + 30) / 0.4)
    assert summary["requests_per_s"] == pytest.approx(2 / 0.4)
    assert summary["prompt_tokens_per_s"] == pytest.approx(16 / 0.4)


def test_a_run_without_planned_end_ends_with_its_last_answer(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    records = table(*(request(make_record, due=100 * index, late=0) for index in range(5)))
    summary = summarise(
        records, window=(0, None), planned=None, scheduled=None, requested_rate=None
    )
    assert summary["window"]["duration_s"] == 0.46
    assert summary["achieved_rate"] == pytest.approx(5 / 0.46)


def test_goodput_counts_requests_within_all_objectives(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    good = [request(make_record, due=index, late=0) for index in range(6)]
    late = request(make_record, due=10, late=9)
    slow = request(
        make_record, due=20, late=0, itl_ns=[10 * MS, 40 * MS], last_token_ns=START + 90 * MS
    )
    failed = request(make_record, due=30, late=0, error_class="timeout")
    single = request(
        make_record, due=40, late=0, output_tokens=1, itl_ns=[], last_token_ns=START + 60 * MS
    )
    records = table(*good, late, slow, failed, single)
    goodput = summarise(records, slo={"ttft": 25.0, "itl": 20.0, "e2e": 70.0})["goodput"]
    assert goodput["requests"] == 7
    assert goodput["share"] == 0.7
    assert goodput["requests_per_s"] == pytest.approx(7 / 0.6)
    assert summarise(records)["goodput"] is None


def test_a_late_client_makes_the_run_invalid(make_record: MakeRecord, summarise: Summarise) -> None:
    records = table(*(request(make_record, due=index, late=11) for index in range(10)))
    summary = summarise(records)
    assert not summary["valid"]
    assert summary["reason"].startswith("the client was late: p99 schedule delay 11.0 ms")


@pytest.mark.parametrize(
    ("course", "reason"),
    [
        ({"lag": NO_LAG | {"p99": 12.0}}, "its event loop was 12.0 ms late at p99"),
        ({"lag": NO_LAG | {"p90": 2.0}, "busiest_cpu": 0.99}, "a worker used 99% of a processor"),
        ({"peaks": (1, 20_000)}, "requests waited in the client: 20000 in flight over 16384"),
        ({"lost": ("worker 1 died",)}, "worker 1 died"),
    ],
)
def test_a_saturated_or_broken_client_makes_the_run_invalid(
    make_record: MakeRecord, summarise: Summarise, course: dict[str, Any], reason: str
) -> None:
    summary = summarise(table(request(make_record, due=0, late=0)), **course)
    assert not summary["valid"]
    assert reason in summary["reason"]


def test_a_busy_client_that_is_still_in_time_is_valid(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    assert summarise(table(request(make_record, due=0, late=0)), busiest_cpu=1.0)["valid"]


def test_sending_late_lowers_the_achieved_rate(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    records = table(*(request(make_record, due=0, late=400 * index) for index in range(6)))
    assert summarise(records, window=(0, 1000))["achieved_rate"] == pytest.approx(6 / 2.0)


def test_an_interrupted_run_is_invalid_and_says_how_far_it_came(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    stop = Stop(signal.SIGINT, START + 500 * MS)
    summary = summarise(table(request(make_record, due=0, late=0)), stop=stop, planned=20)
    assert not summary["valid"]
    assert summary["reason"] == "interrupted by SIGINT: 1 of 20 requests sent"
    assert summary["achieved_rate"] == pytest.approx(2.0)


def test_a_run_without_requests_has_no_figures(summarise: Summarise) -> None:
    summary = summarise(table(), stop=Stop(signal.SIGTERM, START - MS))
    assert (summary["requests"], summary["errors"], summary["achieved_rate"]) == (0, 0, 0.0)
    assert set(summary["ttft_ms"].values()) == {None}
    json.dumps(summary, allow_nan=False)


def test_one_token_has_no_time_per_output_token(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    summary = summarise(table(request(make_record, due=0, late=0, output_tokens=1, itl_ns=[])))
    assert summary["tpot_ms"]["mean"] is None
    assert summary["itl_ms"]["mean"] is None


def test_plain_answers_have_end_to_end_latency_only(
    make_record: MakeRecord, summarise: Summarise
) -> None:
    values = {"first_token_ns": None, "last_token_ns": None, "itl_ns": [], "stream": False}
    summary = summarise(table(request(make_record, due=0, late=0, **values)))
    assert summary["e2e_ms"]["mean"] == 60.0
    assert summary["ttft_ms"]["mean"] is summary["tpot_ms"]["mean"] is None


def test_the_table_shows_figures_errors_and_verdict(summary: dict[str, Any]) -> None:
    output = io.StringIO()
    print_summary(summary, output)
    text = output.getvalue()
    assert "requests 6 of 6   errors 3 (timeout 2, http_503 1)" in text
    assert "rate 10.00/s of 10/s" in text
    assert "20.00" in text
    assert text.rstrip().endswith("valid")


def test_the_row_begins_with_the_columns_of_the_study(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    write_csv(summary, tmp_path / "row.csv")
    with (tmp_path / "row.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    study = (
        "Provider,Model,Prompt Tokens,Generation Tokens,Stream,Temperature,Logprobs,Concurrency,"
        "Time To First Token,Latency Per Token,Num Tokens,Total Latency,Num Requests,Qps"
    )
    assert list(row)[:14] == study.split(",")
    assert (row["Prompt Tokens"], row["Num Tokens"], row["Concurrency"]) == (
        "8.0",
        "3.0",
        "QPS 10 constant",
    )
    assert (row["Time To First Token"], row["ttft_ms.p99"], row["valid"]) == (
        "20.0",
        "20.0",
        "True",
    )
