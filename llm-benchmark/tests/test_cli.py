from __future__ import annotations

import errno
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from llm_benchmark.cli import main
from llm_benchmark.records import RecordWriter, read_partial

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = str(Path(sys.executable).with_name("llm-benchmark"))
README = Path(__file__).parents[1] / "README.md"


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
        "load-summary.json",
        "requests.parquet",
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


def test_a_full_disk_ends_the_run_with_its_reason(
    stub_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def flush(_writer: RecordWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "flush", flush)
    began = time.monotonic()
    assert main(arguments(stub_url, tmp_path, duration="60s")) == 1
    assert time.monotonic() - began < 30
    error = capsys.readouterr().err
    assert "the results cannot be written: [Errno 28] No space left on device; make room" in error
    assert (tmp_path / "requests.arrows.partial").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "0"}, "--rate: '0' is not a rate; give"),
        ({"rate": "nan"}, "--rate: 'nan' is not a rate; give"),
        ({"rate": "many"}, "--rate: 'many' is not a rate; give"),
        ({"rate": "1e9"}, "--rate, --duration: more than 10,000,000 requests in one run; make"),
        ({"rate": None}, "required: --rate"),
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
        ({"prompt-tokens": "0"}, "--prompt-tokens: '0' is not a whole number above zero"),
        ({"output-tokens": "-1"}, "--output-tokens: "),
        ({"seed": "-1"}, "--seed: "),
        ({"timeout": "soon"}, "--timeout: 'soon' is not a duration; give"),
        ({"prompt": "hi"}, "--prompt: not allowed with argument --prompt-tokens"),
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


def test_a_killed_run_leaves_its_records_readable(stub_url: str, tmp_path: Path) -> None:
    partial = tmp_path / "requests.arrows.partial"
    command = arguments(stub_url, tmp_path, duration="60s")
    with subprocess.Popen([COMMAND, *command], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: partial.exists() and partial.stat().st_size > 20_000)
        process.kill()
    assert len(read_partial(partial)) > 10
    assert not (tmp_path / "requests.parquet").exists()
    assert not (tmp_path / "load-summary.json").exists()


def commands_in(text: str) -> list[str]:
    """Return the lines that begin with the program's name, continuations joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in joined.splitlines() if re.match(r"\s*llm-benchmark ", line)]


def help_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out.split("\nexample", 1)[1]


@pytest.mark.parametrize("command", [[], ["run"], ["stub-server"]], ids=" ".join)
def test_the_examples_of_the_help_work_as_pasted(
    command: list[str], stub_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [shlex.split(line) for line in commands_in(help_of(command, capsys))]
    assert commands
    port = stub_url.rsplit(":", 1)[1]
    for _, *pasted in commands:
        if pasted[0] == "stub-server":
            free = [part.replace("8099", "0") for part in pasted]
            with subprocess.Popen([COMMAND, *free], stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
                process.send_signal(signal.SIGINT)
            assert process.returncode == 0
        else:
            here = [part.replace(":8099", f":{port}") for part in pasted]
            done = subprocess.run([COMMAND, *here], cwd=tmp_path, check=False)
            assert done.returncode == 0
            assert (tmp_path / "results" / "load-summary.json").exists()


def test_the_readme_shows_the_example_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    readme = commands_in(README.read_text(encoding="utf-8"))
    assert readme == commands_in(help_of([], capsys))
