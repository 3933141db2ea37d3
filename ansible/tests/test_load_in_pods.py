"""Load from several pods: made ready, begun at one instant, fetched, merged; real but the pods."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import requests

FILES = Path(__file__).resolve().parents[1] / "roles" / "load" / "files"
PROGRAM = str(Path(sys.executable).parent / "llm-benchmark")


@pytest.fixture
def conductor(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("load_conductor")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 30
    while not answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def server() -> Iterator[str]:
    """An LLM server that answers at once."""
    port = free_port()
    with subprocess.Popen([PROGRAM, "stub-server", f"--port={port}"]) as process:
        wait_until_it_answers(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
        process.terminate()


Start = Callable[..., str]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Start]:
    """Start a runner with a command; returns its address."""
    processes = []

    def start(*command: str, port: int | None = None) -> str:
        port = port or free_port()
        out = tmp_path / f"pod-{port}"
        argv = [sys.executable, str(FILES / "load_runner.py"), f"--out={out}", f"--port={port}"]
        processes.append(subprocess.Popen([*argv, "--", *command]))
        wait_until_it_answers(f"http://127.0.0.1:{port}/state")
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


def load(server: str, shard: str) -> list[str]:
    options = ["--arrivals=constant", "--rate=20", "--duration=1s", "--prompt-tokens=4"]
    options += ["--output-tokens=2", "--seed=1", f"--shard={shard}", "--model=stub"]
    options += ["--start-at={start_at}", "--out={out}", "--spans={out}/spans.jsonl"]
    return [PROGRAM, "run", f"--url={server}", "--provider=vllm", *options]


def conduct(action: str, runners: list[str], *options: str) -> tuple[int, str, str]:
    command = [sys.executable, str(FILES / "load_conductor.py"), action]
    where = f"--runners={','.join(runners)}"
    done = subprocess.run(
        [*command, where, "--patience=30", *options], capture_output=True, text=True
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_shards_begin_together_and_come_back_as_one_run(
    server: str, runner: Start, tmp_path: Path
) -> None:
    runners = [runner(*load(server, f"{n}/2")) for n in range(2)]
    status, instant, message = conduct("start", runners, "--lead=3")
    assert status == 0, message
    assert abs(int(instant) / 1e9 - time.time()) < 10
    status, _, message = conduct("finish", runners, f"--out={tmp_path / 'load'}")
    assert status == 0, message
    summary = json.loads((tmp_path / "load" / "load-summary.json").read_text())
    assert summary["requests"] == 20
    assert (tmp_path / "load" / "requests.parquet").exists()
    spans = (tmp_path / "load" / "spans.jsonl").read_text()
    assert spans.count('"traceId"') >= 20
    assert not (tmp_path / ".load.partial").exists()


def test_a_load_that_fails_is_named_with_its_last_words(runner: Start, tmp_path: Path) -> None:
    address = runner("sh", "-c", "echo no such model; exit 3")
    assert conduct("start", [address], "--lead=0")[0] == 0
    status, _, message = conduct("finish", [address], f"--out={tmp_path / 'load'}")
    assert (status, message) == (1, f"{address}: the load failed: no such model")
    assert not (tmp_path / "load").exists()


def test_a_load_begins_once(runner: Start) -> None:
    address = runner("sleep", "60")
    body = {"start_at": "2026-01-01T00:00:00Z"}
    assert requests.post(f"{address}/start", json=body, timeout=5).status_code == 202
    assert requests.post(f"{address}/start", json=body, timeout=5).status_code == 200
    other = {"start_at": "2027-01-01T00:00:00Z"}
    assert requests.post(f"{address}/start", json=other, timeout=5).status_code == 409
    assert requests.post(f"{address}/start", data=b"{", timeout=5).status_code == 400
    assert requests.get(f"{address}/files/../x", timeout=5).status_code == 404
    assert requests.get(f"{address}/state", timeout=5).json()["state"] == "running"


def test_a_way_that_is_down_for_a_while_is_tried_again(
    conductor: ModuleType, runner: Start
) -> None:
    port = free_port()
    late = threading.Timer(2, lambda: runner("sleep", "60", port=port))
    late.start()
    endpoint = conductor.resolve("load", f"http://127.0.0.1:{port}")
    conductor.wait_for(endpoint, "ready", time.monotonic() + 30)
    late.join()


def test_nobody_is_waited_for_without_end(conductor: ModuleType) -> None:
    endpoint = conductor.resolve("load", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(conductor.LoadError, match="no answer"):
        conductor.wait_for(endpoint, "ready", time.monotonic() + 1)
