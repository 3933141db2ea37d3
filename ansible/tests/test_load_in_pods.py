"""Load from several pods: made ready, begun at one instant, fetched, merged; real but the pods."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import requests
from cluster_api import ClusterApi

ANSIBLE = Path(__file__).resolve().parents[1]
FILES = ANSIBLE / "roles" / "load" / "files"
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


def run(out: Path, port: int, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """What runs in a pod, once it answers."""
    argv = [sys.executable, str(FILES / "load_runner.py"), f"--out={out}", f"--port={port}"]
    process = subprocess.Popen([*argv, "--", *command])
    wait_until_it_answers(f"http://127.0.0.1:{port}/state")
    return process


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Start]:
    """Start a runner with a command; returns its address."""
    processes = []

    def start(*command: str, port: int | None = None) -> str:
        port = port or free_port()
        processes.append(run(tmp_path / f"pod-{port}", port, command))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)


def load(server: str, shard: str) -> list[str]:
    options = ["--arrivals=constant", "--rate=20", "--duration=1s", "--prompt-tokens=4"]
    options += ["--output-tokens=2", "--seed=1", f"--shard={shard}", "--model=stub"]
    options += ["--start-at={start_at}", "--out={out}", "--spans={out}/spans.jsonl"]
    return [PROGRAM, "run", f"--url={server}", "--provider=vllm", *options]


def conduct(action: str, runners: list[str], *options: str) -> tuple[int, str, str]:
    command = [sys.executable, str(FILES / "load_conductor.py"), action, "--patience=30"]
    where = f"--runners={','.join(runners)}"
    done = subprocess.run([*command, where, *options], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_shards_begin_together_and_come_back_as_one_run(
    server: str, runner: Start, tmp_path: Path
) -> None:
    runners = [runner(*load(server, f"{n}/2")) for n in range(2)]
    status, instant, message = conduct("start", runners, "--lead=5")
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


def test_a_load_ends_with_its_runner(tmp_path: Path, free_port: int) -> None:
    mark = tmp_path / "ended"
    load = f"trap 'touch {mark}; kill $!; exit 1' TERM; sleep 600 & echo begun; wait"
    process = run(tmp_path / "out", free_port, ["sh", "-c", load])
    address = f"http://127.0.0.1:{free_port}"
    assert conduct("start", [address], "--lead=0")[0] == 0
    deadline = time.monotonic() + 60
    while requests.get(f"{address}/state", timeout=5).json()["log"] != ["begun"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert mark.exists()


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterApi]:
    """An API server with a Job of one pod, which a kubeconfig leads to."""
    server = ClusterApi(lambda *_: None)
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load"}})
    server.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": JOB, "status": {"active": 1}})
    yield server
    server.server.shutdown()
    server.server.server_close()


JOB = {"name": "load", "namespace": "load"}


def pod(phase: str, **status: object) -> dict[str, object]:
    labels = {"batch.kubernetes.io/job-name": "load"}
    about = {"name": "load-0-x7k2p", "namespace": "load", "labels": labels}
    status = {"phase": phase, **status}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "status": status}


def container(name: str, **state: object) -> dict[str, object]:
    return {"name": name, "state": state}


def test_a_pod_that_dies_is_reported_at_once_with_its_last_words(
    api: ClusterApi, tmp_path: Path
) -> None:
    killed = container("load", terminated={"reason": "OOMKilled", "exitCode": 137})
    api.put({"kind": "Job", "metadata": JOB, "status": {"active": 0, "failed": 1}})
    api.put(pod("Failed", containerStatuses=[killed]))
    api.said["load", "load-0-x7k2p"] = "12 requests\n13 requests\n"
    where, out = ["k8s://load/load-0:8000"], f"--out={tmp_path / 'load'}"
    status, _, message = conduct("finish", where, "--patience=3600", out)
    assert status == 1
    words = "pod load-0-x7k2p is Failed: OOMKilled 137 / 12 requests / 13 requests"
    assert message.endswith(f"load-0:8000/proxy: no answer: {words}")
    assert not (tmp_path / "load").exists()


def test_a_job_that_was_taken_away_is_not_waited_for(api: ClusterApi) -> None:
    api.delete("Job", "load", "load")
    status, _, message = conduct("start", ["k8s://load/load-0:8000"], "--patience=3600")
    assert status == 1
    assert message.endswith("no answer: the Job load/load is gone")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {
                "conditions": [
                    {"status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
                ]
            },
            "Unschedulable 0/3 nodes",
        ),
        (
            {"initContainerStatuses": [container("install", waiting={"reason": "ErrImagePull"})]},
            "ErrImagePull",
        ),
    ],
)
def test_a_pod_that_never_begins_says_why(
    api: ClusterApi, status: dict[str, object], said: str
) -> None:
    api.put(pod("Pending", **status))
    api.said["load", "load-0-x7k2p"] = ""
    code, _, message = conduct("start", ["k8s://load/load-0:8000"], "--patience=0")
    assert code == 1
    assert message.endswith(f"no answer: pod load-0-x7k2p is Pending: {said}")


def test_an_api_that_is_away_does_not_end_a_load(api: ClusterApi, runner: Start) -> None:
    api.proxied["load", "load-0"] = runner("sleep", "60")
    api.down = True
    back = threading.Timer(3, lambda: setattr(api, "down", False))
    back.start()
    status, instant, message = conduct("start", ["k8s://load/load-0:8000"], "--lead=2")
    assert status == 0, message
    assert int(instant) > 0
    back.join()


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: load}
      vars: {load_duration_s: 60}
    - ansible.builtin.include_role: {name: load}
      vars: {load_duration_s: 1}
    - ansible.builtin.include_role: {name: load}
      vars: {load_duration_s: 1, load_action: finish}
"""


def play(folder: Path, **variables: object) -> tuple[int, str]:
    """Start a load, forget it, start another and finish it; returns status and what was printed."""
    (folder / "play.yaml").write_text(PLAY)
    inventory = folder / "inventory" / "hosts.yaml"
    inventory.parent.mkdir()
    inventory.write_text("all: {hosts: {localhost: {ansible_connection: local}}}")
    settings = {"arrivals": "constant", "rate": 20, "prompt_tokens": 4, "output_tokens": 2}
    given = {
        "platform": "kubernetes",
        "ansible_python_interpreter": sys.executable,
        "cluster_kubeconfig": os.environ["KUBECONFIG"],
        "model_name": "stub",
        "load_place": "controller",
        "load_programs": str(FILES),
        "load_dir": str(folder / "load"),
        "load_settings": settings,
        "load_seed": 1,
        "load_lead_s": 5,
        **variables,
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory)]
    done = subprocess.run(
        [*command, "-e", json.dumps(given), str(folder / "play.yaml")],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_the_control_machine_can_make_the_load(
    api: ClusterApi, server: str, tmp_path: Path, free_port: int
) -> None:
    status, printed = play(tmp_path, load_url=server, load_controller_port=free_port)
    assert status == 0, printed[-3000:]
    assert "20 requests, 0 errors" in printed
    assert "schedule kept: " in printed
    assert {"requests.parquet", "load-summary.json", "spans.jsonl"} <= {
        path.name for path in (tmp_path / "load").iterdir()
    }
    assert not answers(f"http://127.0.0.1:{free_port}/state")
    assert not api.of_kind("Job")


def test_the_control_machine_needs_a_way_to_the_stack(api: ClusterApi, tmp_path: Path) -> None:
    status, printed = play(tmp_path)
    assert status != 0
    assert (
        "load_url is http://nginx-proxy.ray.svc.cluster.local:8080, inside the cluster" in printed
    )
