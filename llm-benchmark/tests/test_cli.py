from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pandas as pd
import psutil
import pytest

from llm_benchmark.cli import main
from llm_benchmark.records import read_partial

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = str(Path(sys.executable).with_name("llm-benchmark"))


def arguments(url: str, out: Path, /, **changes: str | None) -> list[str]:
    """Return the arguments of a short run; a change of None leaves the option out."""
    options = {
        "url": url,
        "provider": "vllm",
        "model": "stub",
        "rate": "50",
        "duration": "200ms",
        "prompt-tokens": "8",
        "output-tokens": "4",
        "out": str(out),
    }
    chosen = options | changes
    return [
        "run",
        *(part for name, value in chosen.items() if value for part in (f"--{name}", value)),
    ]


def read(out: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    summary = json.loads((out / "load-summary.json").read_text())
    return pd.read_parquet(out / "requests.parquet"), summary


def test_a_run_writes_records_and_summary(stub_url: str, tmp_path: Path) -> None:
    assert main(arguments(stub_url, tmp_path)) == 0
    records, summary = read(tmp_path)
    assert len(records) == summary["requests"] == 10
    assert summary["errors"] == 0
    assert records["output_tokens"].tolist() == [4] * 10
    assert records["prompt_tokens"].tolist() == [8] * 10
    assert summary["output_tokens"] == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "load-summary.csv",
        "load-summary.json",
        "report.html",
        "requests.parquet",
        "schedule.parquet",
        "started.json",
    ]


def test_the_start_is_written_for_those_who_wait_for_it(stub_url: str, tmp_path: Path) -> None:
    main(arguments(stub_url, tmp_path))
    started = json.loads((tmp_path / "started.json").read_text())
    records, summary = read(tmp_path)
    assert started["started"] == summary["started"]
    assert started["started_ns"] == records["intended_ns"].min()
    assert pd.Timestamp(started["started"]).value == started["started_ns"] // 1000 * 1000


def test_spans_carry_the_ids_of_the_records(stub_url: str, tmp_path: Path) -> None:
    spans_path = tmp_path / "telemetry" / "spans.jsonl"
    main(arguments(stub_url, tmp_path / "out", spans=str(spans_path)))
    requests = [json.loads(line) for line in spans_path.read_text().splitlines()]
    spans = [
        span
        for request in requests
        for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    ]
    records, _ = read(tmp_path / "out")
    assert {(span["traceId"], span["spanId"]) for span in spans} == set(
        zip(records["trace_id"], records["span_id"], strict=True)
    )


def test_the_same_seed_sends_the_same_load(stub_url: str, tmp_path: Path) -> None:
    frames = []
    for name in ("a", "b"):
        out = tmp_path / name
        assert main(arguments(stub_url, out, arrivals="poisson", seed="7")) == 0
        frame, _ = read(out)
        frame = frame.sort_values("id")
        start = json.loads((out / "started.json").read_text())["started_ns"]
        frame["due"] = frame["intended_ns"] - start
        frames.append(frame[["id", "due", "trace_id", "span_id"]].to_numpy().tolist())
    assert frames[0] == frames[1]


def test_plain_answers_are_measured_end_to_end(stub_url: str, tmp_path: Path) -> None:
    assert main([*arguments(stub_url, tmp_path), "--no-stream"]) == 0
    _, summary = read(tmp_path)
    assert summary["e2e_ms"]["p50"] > 0
    assert summary["ttft_ms"]["p50"] is None


def test_files_of_an_earlier_run_do_not_survive(stub_url: str, tmp_path: Path) -> None:
    for name in ("requests.parquet", "load-summary.json", "started.json"):
        (tmp_path / name).write_text("old")
    assert main(arguments(stub_url, tmp_path)) == 0
    read(tmp_path)
    json.loads((tmp_path / "started.json").read_text())


def test_every_request_failed_is_a_failure_with_its_reason(
    stub_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(stub_url, tmp_path, model="stub:http-503")) == 1
    _, summary = read(tmp_path)
    assert summary["error_classes"] == {"http_503": 10}
    assert "every request failed; commonest reason: http_503: " in capsys.readouterr().err


def test_the_key_is_sent_and_written_nowhere(
    stub_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hush-hush")
    main(arguments(stub_url, tmp_path, spans=str(tmp_path / "spans.jsonl"), model="none"))
    output = capfd.readouterr()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"hush-hush" not in written
    assert "hush-hush" not in output.out + output.err


def test_a_full_disk_ends_the_run_with_its_reason(stub_url: str, tmp_path: Path) -> None:
    command = shlex.join([COMMAND, *arguments(stub_url, tmp_path, duration="60s", rate="200")])
    began = time.monotonic()
    # No file may become larger than 500 blocks of 1,024 bytes.
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 500; exec {command}"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert time.monotonic() - began < 30
    assert done.returncode == 1
    assert "the results cannot be written: [Errno 27] " in done.stderr
    assert (tmp_path / "requests-0.arrows.partial").exists()
    assert not (tmp_path / "load-summary.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "0"}, "--rate: '0' is not a rate; give"),
        ({"rate": "nan"}, "--rate: 'nan' is not a rate; give"),
        ({"rate": "many"}, "--rate: 'many' is not a rate; give"),
        ({"rate": "1e12"}, "--rate, --duration: more than 100,000,000 requests in one run; make"),
        ({"rate": None}, "--rate and --duration are required, or --stages"),
        ({"duration": "60"}, "--duration: '60' is not a duration; give"),
        ({"duration": "0s"}, "--duration: must be above zero"),
        ({"arrivals": "poisson", "rate": "0.001"}, "no request falls into the run; make"),
        ({"arrivals": "bursty"}, "--arrivals: invalid choice: 'bursty'"),
        ({"provider": "acme"}, "--provider: invalid choice: 'acme'"),
        ({"url": "127.0.0.1:80"}, "--url: not usable as base URL: give scheme, host and port"),
        ({"url": "http://127.0.0.1:port"}, "--url: not usable as base URL: Port"),
        ({"url": "http://127.0.0.1/v1"}, "--url: not usable as base URL: give it without /v1"),
        ({"url": "http://user:pw@host"}, "give the key in the environment as OPENAI_API_KEY"),
        ({"url": "http://host/?q=1"}, "give it without '?'"),
        ({"prompt-tokens": "0"}, "--prompt-tokens: '0': bounds must be in order and at least 1"),
        ({"output-tokens": "-1"}, "--output-tokens: "),
        ({"seed": "-1"}, "--seed: "),
        ({"timeout": "soon"}, "--timeout: 'soon' is not a duration; give"),
        ({"prompt": "hi"}, "--prompt-tokens: not allowed with --prompt; both say what is asked"),
        ({"stages": "5@1s"}, "--stages: holds rates and durations; leave --rate, --duration out"),
        ({"rate": None, "duration": None, "stages": "5"}, "--stages: '5' is no stage; give"),
        ({"burstiness": "2"}, "--burstiness: needs --arrivals gamma"),
        ({"burst-every": "2s"}, "--burst-every: needs --arrivals burst"),
        ({"concurrency": "2"}, "--concurrency: needs --arrivals closed"),
        ({"trace": "t.csv"}, "--trace: needs --arrivals replay"),
        ({"arrivals": "closed"}, "--rate, --stages: have no meaning with --arrivals closed"),
        ({"arrivals": "closed", "rate": None}, "--arrivals closed: needs --concurrency N"),
        (
            {"arrivals": "closed", "rate": None, "duration": None, "concurrency": "2"},
            "--arrivals closed: needs --duration, --requests or both",
        ),
        ({"arrivals": "replay", "rate": None}, "--arrivals replay: needs --trace FILE"),
        (
            {"arrivals": "replay", "rate": None, "trace": "t", "prompt-tokens": None},
            "--output-tokens: not allowed with --trace, which holds them",
        ),
        (
            {"prompt": "hi", "prompt-tokens": None, "turns": "2"},
            "--turns: not allowed with --prompt",
        ),
        ({"dataset": "x", "prompt-tokens": None, "prefix-tokens": "2"}, "--prefix-tokens: is for"),
        ({"dataset": "/no/such", "prompt-tokens": None}, "--dataset /no/such: cannot be read"),
        ({"tokenizer": "/no/such"}, "--tokenizer /no/such: there is no"),
        ({"warmup": "150ms", "cooldown": "50ms"}, "--warmup, --cooldown: nothing is left"),
        ({"slo": "ttft"}, "--slo: 'ttft' is no objective; give each"),
        ({"slo": "speed=3s"}, "--slo: 'speed=3s' is no objective; give each of ttft, itl"),
        ({"shard": "2/2"}, "--shard: '2/2' is not a shard; give"),
        ({"start-at": "2999-01-01T00:00:00Z"}, "--start-at: is later than can be told in ns"),
        ({"start-at": "noon"}, "--start-at: 'noon' is not an instant; give ISO 8601"),
        ({"start-at": "2020-01-01T00:00:00Z"}, "--start-at 2020-01-01T00:00:00.000000Z: is past"),
        ({"body": "[]"}, "--body: is no JSON object; give one"),
        ({"body": "{"}, "--body: is no JSON ("),
        ({"provider": "triton-infer"}, "--provider triton-infer: cannot stream; add --no-stream"),
        ({"schedule": "/no/such"}, "--rate: not allowed with --schedule, which holds the load"),
        (
            {"schedule": "/no/such", "rate": None, "duration": None},
            "--schedule /no/such: cannot be read",
        ),
        ({"ca": "/no/such"}, "--ca /no/such: cannot be read as certificates"),
        (
            {"arrivals": "closed", "rate": None, "concurrency": "1", "workers": "2"},
            "--workers: more than --concurrency",
        ),
        ({"prompt": "@/no/such/file", "prompt-tokens": None}, "cannot read the file as text"),
        ({"prompt": " ", "prompt-tokens": None}, "the prompt is blank; give"),
        ({"out": "/dev/null/out"}, "--out: /dev/null is not a folder; give another path"),
        ({"spans": "/dev/null/spans"}, "--spans: /dev/null is not a folder; give another path"),
        ({"spans": "/"}, "--spans /: is a folder; give the path of a file"),
    ],
)
def test_bad_options_are_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    message: str,
) -> None:
    out = tmp_path / "out"
    try:
        status = main(arguments("http://127.0.0.1:9", out, **changes))
    except SystemExit as end:
        status = end.code
    assert status == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("llm-benchmark run: ")
    assert message in line
    assert not out.exists()


def test_a_key_that_no_header_can_carry_is_refused_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hush\nhush")
    assert main(arguments("http://127.0.0.1:9", tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "OPENAI_API_KEY" in error
    assert "hush" not in error


@pytest.mark.parametrize(
    "arguments_", [[], ["fly"], ["stub-server"], ["stub-server", "--port", "x"]]
)
def test_a_bad_command_line_is_refused_in_one_line(
    arguments_: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments_)
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--help" in line


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"]
)
def test_an_interrupted_run_writes_what_there_is(
    stub_url: str, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    command = arguments(stub_url, tmp_path, duration="60s", grace="200ms", model="stub:stall")
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.PIPE, text=True) as process:
        wait_until((tmp_path / "started.json").exists)
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    assert process.returncode == status
    assert f"{number.name}: no more requests" in error
    records, summary = read(tmp_path)
    assert not summary["valid"]
    assert f"interrupted by {number.name}" in summary["reason"]
    assert len(records) == summary["requests"] == summary["error_classes"]["cancelled"]
    assert 0 < len(records) < summary["planned"]


def test_a_run_that_is_interrupted_before_it_began_says_so(stub_url: str, tmp_path: Path) -> None:
    command = arguments(stub_url, tmp_path, duration="60s", **{"start-at": "2199-01-01T00:00:00Z"})
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        wait_until(lambda: "the load starts at" in (process.stderr.readline() or ""))  # type: ignore[union-attr]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    records, summary = read(tmp_path)
    assert len(records) == 0
    assert summary["reason"] == "interrupted by SIGINT: 0 of 3000 requests sent"


def test_a_client_that_is_asked_too_much_says_that_it_was_late(
    stub_url: str, tmp_path: Path
) -> None:
    assert main(arguments(stub_url, tmp_path, rate="20000", duration="200ms")) == 0
    _, summary = read(tmp_path)
    assert summary["requests"] == 4000
    assert not summary["valid"]
    assert "the client was late: p99 schedule delay" in summary["reason"]
    assert summary["achieved_rate"] < summary["requested_rate"]
    assert summary["ttft_from_intended_ms"]["p50"] > summary["ttft_ms"]["p50"]


def test_a_killed_run_leaves_its_records_readable(stub_url: str, tmp_path: Path) -> None:
    partial = tmp_path / "requests-0.arrows.partial"
    command = arguments(stub_url, tmp_path, duration="60s")
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: partial.exists() and partial.stat().st_size > 20_000)
        process.kill()
    assert len(read_partial(partial)) > 10
    assert not (tmp_path / "requests.parquet").exists()
    assert not (tmp_path / "load-summary.json").exists()


def test_two_workers_send_the_schedule_of_one(stub_url: str, tmp_path: Path) -> None:
    sent = {}
    for workers in ("1", "2"):
        out = tmp_path / workers
        load = {"arrivals": "poisson", "rate": "300", "duration": "500ms", "seed": "3"}
        assert main(arguments(stub_url, out, workers=workers, **load)) == 0
        records, summary = read(out)
        start = json.loads((out / "started.json").read_text())["started_ns"]
        records["due"] = records["intended_ns"] - start
        columns = ["id", "due", "trace_id", "span_id", "prompt_tokens_asked"]
        sent[workers] = records.sort_values("id")[columns].to_numpy().tolist()
        assert records["worker"].nunique() == summary["workers"] == int(workers)
        assert not list(out.glob("*.partial"))
    assert sent["1"] == sent["2"]


def test_a_schedule_is_sent_again_exactly(stub_url: str, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    load = {"arrivals": "gamma", "burstiness": "0.5", "prompt-tokens": "uniform:min=2,max=20"}
    assert main(arguments(stub_url, first, **load)) == 0
    schedule = str(first / "schedule.parquet")
    nothing = dict.fromkeys(("rate", "duration", "prompt-tokens", "output-tokens"))
    assert main(arguments(stub_url, again, schedule=schedule, **nothing)) == 0
    columns = ["id", "trace_id", "prompt_tokens", "output_tokens"]
    frames = [read(out)[0].sort_values("id") for out in (first, again)]
    assert frames[0][columns].to_numpy().tolist() == frames[1][columns].to_numpy().tolist()
    dues = [frame["intended_ns"] - frame["intended_ns"].min() for frame in frames]
    assert dues[0].tolist() == dues[1].tolist()


def test_a_schedule_whose_files_have_changed_is_refused(
    stub_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("one")
    schedule = str(tmp_path / "schedule.parquet")
    load = ["--rate", "10", "--duration", "1s", "--prompt", f"@{prompt}"]
    assert main(["schedule", *load, "--out", schedule]) == 0
    prompt.write_text("other")
    nothing = dict.fromkeys(("rate", "duration", "prompt-tokens", "output-tokens"))
    assert main(arguments(stub_url, tmp_path / "out", schedule=schedule, **nothing)) == 2
    assert f"was made from another {prompt}; put that file" in capsys.readouterr().err


def test_shards_are_merged_into_one_run(
    stub_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = [tmp_path / f"shard-{number}" for number in range(3)]
    start = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    commands = [
        arguments(stub_url, out, rate="150", shard=f"{number}/3", **{"start-at": start})
        for number, out in enumerate(shards)
    ]
    processes = [subprocess.Popen([COMMAND, *command]) for command in commands]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    merged = tmp_path / "merged"
    assert main(["merge", *map(str, shards), "--out", str(merged)]) == 0
    records, summary = read(merged)
    assert sorted(records["id"]) == list(range(30))
    assert (summary["requests"], summary["planned"], summary["scheduled_rate"]) == (30, 30, 150)
    assert summary["requested_rate"] == pytest.approx(150)
    # A machine busy with other work makes the client late, never the shards inconsistent.
    assert summary["valid"] or "the client was" in summary["reason"]
    assert not re.search("missing|start together", summary["reason"] or "")
    assert main(["merge", *map(str, shards[:2]), "--out", str(merged)]) == 0
    assert read(merged)[1]["reason"] == "shard 2/3 is missing"
    assert main(["merge", str(shards[0]), str(shards[0]), "--out", str(merged)]) == 2
    assert "two folders hold the same shard" in capsys.readouterr().err


def test_shards_that_did_not_start_together_are_no_valid_run(stub_url: str, tmp_path: Path) -> None:
    shards = [tmp_path / f"shard-{number}" for number in range(2)]
    for number, out in enumerate(shards):
        main(arguments(stub_url, out, shard=f"{number}/2"))
    assert main(["merge", *map(str, shards), "--out", str(tmp_path / "merged")]) == 0
    assert "did not start together" in read(tmp_path / "merged")[1]["reason"]


def test_parts_of_different_runs_are_not_merged(
    stub_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        out = tmp_path / str(number)
        main(arguments(stub_url, out, shard=f"{number}/2", seed=str(number)))
    command = ["merge", str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "its seed is 1, not 0" in capsys.readouterr().err


def test_a_worker_that_dies_makes_the_run_fail_and_keeps_what_was_recorded(
    stub_url: str, tmp_path: Path
) -> None:
    command = arguments(stub_url, tmp_path, duration="60s", workers="2")
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.PIPE) as process:
        files = [tmp_path / f"requests-{number}.arrows.partial" for number in range(2)]
        wait_until(lambda: all(one.exists() and one.stat().st_size > 5_000 for one in files))
        worker = psutil.Process(process.pid).children()[-1]
        worker.kill()
        process.communicate(timeout=30)
    assert process.returncode == 1
    records, summary = read(tmp_path)
    assert "died (exit code -9)" in summary["reason"]
    assert set(records["worker"]) == {0, 1}


def test_workers_do_not_outlive_their_parent(stub_url: str, tmp_path: Path) -> None:
    command = arguments(stub_url, tmp_path, duration="60s", workers="2")
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.DEVNULL) as process:
        wait_until((tmp_path / "started.json").exists)
        children = psutil.Process(process.pid).children()
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_metrics_are_shown_while_the_run_lasts(stub_url: str, tmp_path: Path) -> None:
    options = {"duration": "60s", "metrics-port": "0", "grace": "0s"}
    command = arguments(stub_url, tmp_path, **options)
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().removeprefix("metrics at ").strip()
        pattern = re.compile(r'requests_total{error_class=""} ([1-9]\d*)')
        wait_until(lambda: bool(pattern.search(urlopen(url).read().decode())))  # noqa: S310
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_replayed_trace_asks_what_it_holds(stub_url: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time_ms,prompt_tokens,output_tokens\n0,5,2\n300,7,3\n100,0,1\n")
    nothing = dict.fromkeys(("rate", "duration", "prompt-tokens", "output-tokens"))
    load = {"arrivals": "replay", "trace": str(trace), "speed": "10", **nothing}
    assert main(arguments(stub_url, tmp_path / "out", **load)) == 0
    records, summary = read(tmp_path / "out")
    assert records["prompt_tokens"].tolist() == [5, 7]
    assert records["output_tokens"].tolist() == [2, 3]
    assert records["intended_ns"].diff().iloc[1] == 30_000_000
    assert summary["note"] == "1 rows of the trace have no tokens"


def test_a_sweep_finds_the_rate_that_the_server_bears(
    tmp_path: Path, stub_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sweep", "--url", stub_url, "--provider", "vllm", "--model", "stub", "--max-rate"]
    command += ["40", "--min-rate", "20", "--step-duration", "300ms", "--output-tokens", "3"]
    assert main([*command, "--slo", "ttft=500ms", "--out", str(tmp_path / "good")]) == 0
    found = json.loads((tmp_path / "good" / "sweep.json").read_text())
    assert found["highest_rate"] == 40
    assert [step["rate"] for step in found["steps"]] == [20, 40]
    assert (tmp_path / "good" / "rate-20" / "requests.parquet").exists()
    assert main([*command, "--slo", "ttft=1ms", "--out", str(tmp_path / "bad")]) == 1
    found = json.loads((tmp_path / "bad" / "sweep.json").read_text())
    assert found["highest_rate"] is None
    assert "the lowest rate, 20/s, does not pass" in capsys.readouterr().out


def test_what_is_no_run_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["report"], ["compare", str(tmp_path)], ["merge", "--out", "x"]):
        assert main([*command, str(tmp_path)]) == 2
        assert "no readable load-summary.json" in capsys.readouterr().err
