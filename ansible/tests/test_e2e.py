"""The real stack, from nothing to a leaderboard and back to nothing. Needs root and .venv-serve.

The tests build on each other in the order in which they stand: deploying takes a minute, so they share
one stack until a test takes it down.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
STATE = Path("/var/lib/rca-llm")
RUNS = REPOSITORY / "data" / "runs"
FAULT_PROCESSES = ("stress-ng", "packet_delay.py", "netem")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not (REPOSITORY / ".venv-serve/bin/ray").exists(),
        reason="needs .venv-serve (make serve-environment)",
    ),
]


def run(argv: list[str]) -> str:
    """Run a command to its end and return what it printed; its failure fails the test."""
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def processes() -> list[str]:
    """Command lines of all processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return lines


def fault_active(run_id: str) -> bool:
    """Tell whether an undo record of this run is on disk and processes of a fault run."""
    return any((STATE / "faults").glob(f"{run_id}.*.json")) and any(
        name in line for line in processes() for name in FAULT_PROCESSES
    )


def traces_of_us() -> list[str]:
    """What of the stack is on this machine: processes, namespaces, links, control groups."""
    found = [line for line in processes() if "rca-llm" in line or "raylet" in line]
    found += [str(p) for p in Path("/run/netns").glob("rca-*")]
    found += [str(p) for p in Path("/sys/class/net").glob("rca0*")]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob("rca-llm")]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob("*/rca-llm")]
    return found


@pytest.fixture(scope="module", autouse=True)
def clean_machine() -> Iterator[None]:
    """Remove the tests' runs before and after, and the stack after."""
    for folder in RUNS.glob("e2e-*"):
        shutil.rmtree(folder)
    yield
    subprocess.run(["make", "uninstall"], cwd=REPOSITORY, capture_output=True)
    for folder in RUNS.glob("e2e-*"):
        shutil.rmtree(folder)


def test_an_experiment_ends_with_complete_cases_and_a_leaderboard() -> None:
    printed = run(["make", "experiment", "EXPERIMENT=smoke", "RUN_ID=e2e-a"])
    assert "AC@1" in printed
    board = pd.read_csv(RUNS / "e2e-a/evaluation/leaderboard.csv")
    assert set(board["method"]) >= {"random", "nsigma", "baro"}
    for case in ("ray-replicas-1_cpu_1", "ray-replicas-0_network-delay_1"):
        record = json.loads((RUNS / f"e2e-a/cases/{case}/case.json").read_text())
        assert record["quality"]["samples_share"] >= 0.95
        assert all(share >= 0.9 for share in record["quality"]["scrapes_during_fault"].values())
    assert not traces_of_us()


@pytest.mark.parametrize(
    ("case", "indicator"),
    [
        ("ray-replicas-1_cpu_1", "ray-replicas-1_throttled"),
        ("ray-replicas-0_network-delay_1", "ray-replicas-0_tcp-round-trip"),
    ],
)
def test_the_fault_shows_on_the_faulted_service_and_on_the_client(
    case: str, indicator: str
) -> None:
    folder = RUNS / "e2e-a/cases" / case
    injection = json.loads((folder / "injection.json").read_text())
    metrics = pd.read_parquet(folder / "metrics.parquet")
    during = metrics["time"].between(injection["active_ns"], injection["removed_ns"])
    before = metrics["time"] < injection["requested_ns"]
    assert metrics[during][indicator].mean() > 1.5 * metrics[before][indicator].mean()
    requests = pd.read_parquet(folder / "requests.parquet")
    latency = requests["end_ns"] - requests["intended_ns"]
    hit = requests["intended_ns"].between(injection["active_ns"], injection["removed_ns"])
    calm = requests["intended_ns"] < injection["requested_ns"]
    assert latency[hit].mean() > 1.1 * latency[calm].mean()


def test_one_trace_goes_through_every_service() -> None:
    traces = pd.read_parquet(RUNS / "e2e-a/cases/ray-replicas-1_cpu_1/traces.parquet")
    services = traces.groupby("traceID")["serviceName"].agg(set)
    whole = services.map({"load-generator", "nginx-proxy", "ray-head"}.issubset)
    engine = services.map(lambda s: any(name.startswith("ray-replicas-") for name in s))
    assert (whole & engine).mean() > 0.9


def test_one_case_can_be_diagnosed_without_its_ground_truth() -> None:
    case = RUNS / "e2e-a/cases/ray-replicas-1_cpu_1"
    printed = run([str(TOOLS / "rca-benchmark"), "diagnose", str(case), "--method", "baro"])
    assert "ray-replicas-1" in printed


def test_a_second_run_keeps_complete_cases_and_starts_nothing() -> None:
    printed = run(["make", "experiment", "EXPERIMENT=smoke", "RUN_ID=e2e-a"])
    assert "to record: none" in " ".join(printed.split())
    assert "Start the supervisor" not in printed


def interrupt_in_mid_fault(number: signal.Signals) -> tuple[int, str]:
    """Run an experiment and send a signal to its whole process group while the fault is active."""
    with subprocess.Popen(
        ["make", "experiment", "EXPERIMENT=smoke", "RUN_ID=e2e-b"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "fault window, " in line:
                assert fault_active("e2e-b")
                os.killpg(child.pid, number)
                break
        lines += child.stdout.readlines()
    return child.returncode, "".join(lines)


def test_a_killed_playbook_leaves_an_undo_record_that_the_sweep_carries_out() -> None:
    interrupt_in_mid_fault(signal.SIGKILL)
    assert fault_active("e2e-b")
    assert "taken back and verified" in run(["make", "sweep"])
    assert not fault_active("e2e-b")
    assert not any(line.startswith("stress-ng") for line in processes())
    assert not list((STATE / "faults").glob("*.json"))


def test_ctrl_c_in_mid_fault_leaves_neither_fault_nor_process() -> None:
    status, printed = interrupt_in_mid_fault(signal.SIGINT)
    assert status != 0
    assert "Done." in printed, printed[-3000:]
    assert not list((STATE / "faults").glob("*.json"))
    assert not traces_of_us()


def test_uninstalling_leaves_no_trace() -> None:
    run(["make", "uninstall"])
    assert not traces_of_us()
    assert not STATE.exists()
    assert not Path("/run/rca-llm").exists()
