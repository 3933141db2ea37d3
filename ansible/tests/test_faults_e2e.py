"""Every fault on the real stack: made, seen by a measure of its own, taken back, seen to be gone.

What is measured here is not what the chaos role looks at: it reads the kernel's account, pings and
the engine's processes; these tests read TCP and HTTP from the outside, and what the stack's own
Prometheus says of pods and engines. Needs root and .venv-serve.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
ANSIBLE = REPOSITORY / "ansible"
UNDO_RECORDS = Path("/var/lib/rca-llm/faults")
PROMETHEUS = "http://127.0.0.1:19090"
TARGET = "ray-replicas-1"
FAULTS = list(yaml.safe_load((ANSIBLE / "configs/faults.yaml").read_text())["faults"])
PLAYBOOK = [str(TOOLS / "ansible-playbook"), "-i", str(REPOSITORY / "inventories" / "local")]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not (REPOSITORY / ".venv-serve/bin/ray").exists(),
        reason="needs .venv-serve (make serve-environment)",
    ),
]


def play(*arguments: str) -> str:
    """Run a playbook to its end and return what it printed; its failure fails the test."""
    done = subprocess.run([*PLAYBOOK, *arguments], cwd=ANSIBLE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def fetch(url: str) -> bytes:
    """Return what a URL answers."""
    with OPENER.open(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def ask(query: str) -> float:
    """Return the value of a PromQL query; 0 where there is none."""
    url = f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    found = json.loads(fetch(url))["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


def address() -> str:
    """Return the target's address."""
    stack = json.loads(Path("/var/lib/rca-llm/stack.json").read_text())
    text: str = stack["pods"][TARGET]["address"]
    return text


def own(metric: str, how: str = "rate({0}[4s])") -> float:
    """Return a metric of the target from Prometheus."""
    return ask("sum(" + how.format(f'{metric}{{service="{TARGET}"}}') + ")")


def connect_ms() -> float:
    """Return how long it takes to open a TCP connection to the target."""
    began = time.monotonic()
    with socket.create_connection((address(), 8090), timeout=60):
        return 1000 * (time.monotonic() - began)


def download_kbit() -> float:
    """Return the rate in kbit/s at which the target's own metrics can be read."""
    began = time.monotonic()
    size = len(fetch(f"http://{address()}:8090/metrics"))
    return 8 * size / 1000 / (time.monotonic() - began)


def lost_handshakes() -> int:
    """Return how many of 40 TCP connections to the target are not open at once.

    A handshake's lost answer is sent again after a second.
    """
    lost = 0
    for _ in range(40):
        try:
            socket.create_connection((address(), 8090), timeout=0.3).close()
        except TimeoutError:
            lost += 1
    return lost


def step_time() -> float:
    """Return the mean time between two tokens at the target, in s."""
    name = "ray_vllm_inter_token_latency_seconds"
    count = own(f"{name}_count")
    return own(f"{name}_sum") / count if count else 0.0


def engine_ids() -> str:
    """Return the ids of the target's engine processes, as `ps` knows them."""
    columns = "pid,cgroup:1000,args"  # by itself, the second one is cut
    shown = subprocess.run(["ps", "-ewwo", columns], capture_output=True, text=True)
    lines = [line.split(maxsplit=2) for line in shown.stdout.splitlines()]
    ours = [line[0] for line in lines if TARGET in line[1] and line[2].startswith("VLLM::")]
    return ",".join(sorted(ours))


def tokens() -> float:
    """Return how many tokens the target generates per second."""
    return own("ray_vllm_generation_tokens_total")


def forget_program(name: str) -> None:
    """Have the kernel drop its copy of a program, so that it is read from disk again."""
    found = shutil.which(name)
    assert found
    with Path(found).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_by_faults() -> list[int]:
    """Return how many bytes each process that makes a fault has read from disk."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if b"RCA_FAULT_ID=" in (folder / "environ").read_bytes():
                counts = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
                found.append(int(counts["read_bytes"]))
    return found


# The measure of each fault, and whether it shows the fault, given its value before.
MEASURES: dict[str, tuple[Callable[[], float | str], Callable[..., bool]]] = {
    "cpu": (
        lambda: own("container_cpu_cfs_throttled_seconds_total"),
        lambda now, before: now > max(2 * before, 0.6),
    ),
    "memory": (
        lambda: own("container_memory_working_set_bytes", "last_over_time({0}[3s])"),
        lambda now, before: now > before + 500e6,
    ),
    "network-delay": (connect_ms, lambda now, before: now > before + 150),
    "network-loss": (lost_handshakes, lambda now, before: now > before + 2),
    "network-rate": (download_kbit, lambda now, before: now < before / 5),
    "accelerator": (step_time, lambda now, before: now > 1.5 * before),
    "pause": (tokens, lambda now, before: now < before / 20),
    "kill": (engine_ids, lambda now, before: before != "" and before not in now),
}


# Faults whose program counts as the target's own, so that its reading would give the target away.
IN_THE_TARGET = ("cpu", "memory")


@pytest.fixture(scope="module", autouse=True)
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start the stack and a steady load; stop both at the end."""
    run = ["execute-experiment.yaml", "-e", "experiment=smoke", "-e", "run_id=e2e-faults"]
    load = None
    shutil.rmtree(REPOSITORY / "data/runs/e2e-faults", ignore_errors=True)
    try:
        play(*run, "--tags", "deploy")
        out = tmp_path_factory.mktemp("load") / "load"
        options = ["--provider=vllm", "--model=tiny-llama", "--arrivals=constant", "--rate=1.5"]
        sizes = ["--duration=3600s", "--prompt-tokens=48", "--output-tokens=24"]
        command = [str(TOOLS / "llm-benchmark"), "run", "--url=http://10.77.0.10:8080"]
        load = subprocess.Popen(
            [*command, *options, *sizes, f"--out={out}"], stdout=subprocess.DEVNULL
        )
        yield
    finally:
        if load is not None:
            load.send_signal(signal.SIGINT)
            load.wait()
        play("sweep-faults.yaml")
        play(*run, "--tags", "delete")
        subprocess.run(["rm", "-rf", str(REPOSITORY / "data/runs/e2e-faults")], check=True)


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 120) -> None:
    """Poll; the limit only keeps a broken test from hanging."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def calm(fault: str) -> float | str:
    """Return the fault's measure before it is made, once the load has settled."""
    wait_until(lambda: tokens() > 5, "the target generates nothing")
    held = "container_cpu_cfs_throttled_seconds_total"  # of all threads: 0.1 to 0.4 s per s
    wait_until(lambda: own(held, "rate({0}[10s])") < 0.5, "the target's first requests go on")
    return MEASURES[fault][0]()


@pytest.fixture
def injected(fault: str) -> Iterator[subprocess.Popen[str]]:
    """A playbook that has made the fault and watches it."""
    command = [*PLAYBOOK, "inject-fault.yaml", "-e", f"fault={fault}", "-e", f"target={TARGET}"]
    with subprocess.Popen(
        [*command, "-e", "seconds=15"],
        cwd=ANSIBLE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as playing:
        yield playing
        if playing.poll() is None:
            os.killpg(playing.pid, signal.SIGKILL)


def until_watched(playing: subprocess.Popen[str]) -> None:
    """Read a playbook's lines until the fault is confirmed."""
    assert playing.stdout is not None
    lines = []
    for line in playing.stdout:
        lines.append(line)
        if re.search(r"s +Watch the fault, seconds: 15", line):
            return
    pytest.fail("".join(lines)[-5000:])


def sees(fault: str, before: float | str) -> bool:
    """Tell whether the fault's measure shows it now."""
    measure, shows = MEASURES[fault]
    return shows(measure(), before)


def gone(fault: str, before: float | str) -> bool:
    """Tell whether the target is as before: for a killed engine, whether it has another one."""
    if fault == "kill":
        return engine_ids() not in ("", before) and tokens() > 0
    return not sees(fault, before)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_acts_and_is_taken_back(fault: str, request: pytest.FixtureRequest) -> None:
    before = calm(fault)
    if fault in IN_THE_TARGET:
        forget_program("stress-ng")
    playing = request.getfixturevalue("injected")
    until_watched(playing)
    wait_until(lambda: sees(fault, before), f"{fault} is not seen; before it: {before}", 15)
    if fault in IN_THE_TARGET:
        assert set(read_by_faults()) == {0}
    printed, _ = playing.communicate()
    assert playing.returncode == 0, printed[-5000:]
    wait_until(lambda: gone(fault, before), f"{fault} does not go; before it: {before}")
    assert list(UNDO_RECORDS.glob("*.json")) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_whose_controller_is_killed_is_swept(
    fault: str, request: pytest.FixtureRequest
) -> None:
    before = calm(fault)
    playing = request.getfixturevalue("injected")
    until_watched(playing)
    os.killpg(playing.pid, signal.SIGKILL)
    playing.wait()
    assert [path.stem for path in UNDO_RECORDS.glob("*.json")] == [f"by-hand.{TARGET}_{fault}"]
    wait_until(lambda: sees(fault, before), f"{fault} is not seen; before it: {before}", 15)
    assert "taken back and verified" in play("sweep-faults.yaml")
    wait_until(lambda: gone(fault, before), f"{fault} does not go; before it: {before}")
    assert list(UNDO_RECORDS.glob("*.json")) == []
