"""How exact the generator is, against the stub server's own clock, and what a request costs it.

The stub has one core to itself, the generator another (both its coordinator and its worker); both
clocks are the machine's monotonic one, so that every token's arrival can be held against its
sending. Streamed chat, 64 tokens in, 32 out, first token after 20 ms, the others every 2 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from llm_benchmark.clock import MILLISECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

COMMAND = Path(sys.executable).with_name("llm-benchmark")
TTFT, ITL, TOKENS = "20ms", "2ms", 32
STUB_CORE, CLIENT_CORES = {0}, {1}
HELP = f"""{__doc__}
examples:

  .venv/bin/python llm-benchmark/benchmarks/precision.py                  the table, 3 minutes
  .venv/bin/python llm-benchmark/benchmarks/precision.py --memory 1000000  memory, N requests
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One run to make: transport, requests per second, processes, and their cores."""

    transport: str
    rate: int
    workers: int = 1
    cores: frozenset[int] = frozenset(CLIENT_CORES)


POINTS = (
    Point("aiohttp", 800),
    Point("aiohttp", 1000),
    Point("aiohttp", 1600),
    Point("raw", 1000),
    Point("raw", 2000),
    Point("raw", 4000),
    Point("raw", 2000, workers=2, cores=frozenset({0, 1})),
)


def main() -> int:
    """Make the runs and print the table; or watch memory grow."""
    chosen = _options()
    if chosen.memory:
        return watch_memory(chosen.memory)
    print(
        "| transport, processes | rate | achieved | schedule delay p50 / p99, ms | TTFT p50, ms |"
        " TTFT too long by p50 / p99, ms | gap wrong by p50 / p99, ms | CPU s per 1,000 | valid |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for point in POINTS:
        print(measure(point, chosen.seconds), flush=True)
    return 0


def measure(point: Point, seconds: int) -> str:
    """Make one run and return its row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stub(folder / "truth.jsonl") as url:
            run(point, url, folder / "out", seconds)
        summary = json.loads((folder / "out" / "load-summary.json").read_text(encoding="utf-8"))
        records = pq.read_table(folder / "out" / "requests.parquet")
        lateness, gaps = errors(records, folder / "truth.jsonl")
    delay = summary["schedule_delay_ms"]
    return (
        f"| {point.transport}, {point.workers} | {point.rate}/s | {summary['achieved_rate']:.1f}/s"
        f" | {delay['p50']:.2f} / {delay['p99']:.2f} | {summary['ttft_ms']['p50']:.2f}"
        f" | {_spread(lateness)} | {_spread(gaps)}"
        f" | {summary['client_cpu']['s_per_1000_requests']:.2f}"
        f" | {'yes' if summary['valid'] else 'no'} |"
    )


def errors(
    records: pa.Table, truth: Path
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Return how much longer than the stub's times the generator's are, ms.

    Returns:
        Of each request its time to first token, less the stub's from the request's arrival to the
        token's sending; and of each gap between tokens how far it is off, either way.
    """
    known = {}
    for line in truth.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        known[entry["traceparent"].split("-")[1]] = entry
    columns = ["trace_id", "sent_ns", "first_token_ns", "itl_ns"]
    lateness, gaps = [], []
    for trace_id, sent_ns, first_ns, itl_ns in zip(
        *(records[name].to_pylist() for name in columns), strict=True
    ):
        entry = known[trace_id]
        tokens = np.array(entry["token_ns"])
        lateness.append((first_ns - sent_ns) - (tokens[0] - entry["arrived_ns"]))
        gaps.append(np.abs(np.array(itl_ns) - np.diff(tokens)))
    return np.array(lateness) / MILLISECOND_NS, np.concatenate(gaps) / MILLISECOND_NS


def watch_memory(requests: int) -> int:
    """Send many requests and print how large the generator's processes are meanwhile, MiB."""
    rate = 3000
    point = Point("raw", rate)
    with tempfile.TemporaryDirectory() as name, stub(None) as url:
        process = start(point, url, Path(name, "out"), requests / rate)
        peaks: list[tuple[float, float]] = []
        while process.poll() is None:
            peaks.append(_sizes(process))
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                continue
        summary = json.loads(Path(name, "out", "load-summary.json").read_text(encoding="utf-8"))
    quarter = max(1, len(peaks) // 4)
    print("| part of the run | coordinator, MiB | worker, MiB |\n|---|---|---|")
    for part in range(4):
        sizes = peaks[part * quarter : (part + 1) * quarter]
        print(
            f"| {part + 1} of 4 | {max(s[0] for s in sizes):.0f} | {max(s[1] for s in sizes):.0f} |"
        )
    print(
        f"\n{summary['requests']} requests at {summary['achieved_rate']:.0f}/s, "
        f"{summary['errors']} errors, {'valid' if summary['valid'] else summary['reason']}"
    )
    return 0


def _sizes(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    parent = psutil.Process(process.pid)
    try:
        own = parent.memory_info().rss
        workers = [child.memory_info().rss for child in parent.children()]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return own / 2**20, max(workers, default=0) / 2**20


def run(point: Point, url: str, out: Path, seconds: float) -> None:
    """Send load and wait until it is recorded."""
    if start(point, url, out, seconds).wait():
        raise SystemExit(f"precision.py: the run {point} failed")


def start(point: Point, url: str, out: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Begin to send load, with its messages thrown away."""
    command: list[str | Path] = [COMMAND, "run", "--url", url, "--provider", "vllm"]
    command += ["--model", "stub", "--rate", str(point.rate), "--duration", f"{seconds:.3f}s"]
    command += ["--prompt-tokens", "64", "--output-tokens", str(TOKENS), "--out", out]
    command += ["--transport", point.transport, "--workers", str(point.workers)]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, point.cores),
    )


@contextmanager
def stub(truth: Path | None) -> Iterator[str]:
    """Run the stub on its core, and give its URL; the truth is written when it ends."""
    command: list[str | Path] = [COMMAND, "stub-server", "--port", "0", "--ttft", TTFT]
    command += ["--itl", ITL]
    if truth is not None:
        command += ["--truth", truth]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, STUB_CORE),
    ) as server:
        line = next(iter(server.stdout or ()), "")
        yield line.removeprefix("listening on ").strip()
        server.send_signal(signal.SIGTERM)


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    p50, p99 = np.percentile(values, [50, 99])
    return f"{p50:.2f} / {p99:.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=20, help="length of a run (default 20)")
    parser.add_argument("--memory", type=int, metavar="N", help="send N requests, watch memory")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
