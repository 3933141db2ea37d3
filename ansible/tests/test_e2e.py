"""The real stack, from nothing to a leaderboard and back to nothing. Needs root and .venv-serve.

The tests build on each other in the order in which they stand: deploying takes a minute, so they
share what one of them has recorded or started.
"""

import json
import os
import re
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
RUN = "e2e"
EXPERIMENT = ["make", "experiment", "EXPERIMENT=smoke", f"RUN_ID={RUN}"]
CPU_CASE = "ray-replicas-1_cpu_1"
DELAY_CASE = "ray-replicas-0_network-delay_1"
FAULT_PROCESSES = ("stress-ng", "packet_delay.py", "netem")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not (REPOSITORY / ".venv-serve/bin/ray").exists(),
        reason="needs .venv-serve (make serve-environment)",
    ),
]


def run(argv: list[str], folder: Path = REPOSITORY) -> str:
    """Run a command to its end and return what it printed; its failure fails the test."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
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


def active_fault() -> str:
    """Name the fault whose undo record is on disk while its processes run, if there is one."""
    records = [path.stem for path in (STATE / "faults").glob("*.json")]
    made = any(name in line for line in processes() for name in FAULT_PROCESSES)
    return ",".join(records) if made else ""


def traces_of_us() -> list[str]:
    """What of the stack is on this machine: processes, namespaces, links, control groups."""
    found = [line for line in processes() if "rca-llm" in line or "raylet" in line]
    found += [str(p) for p in Path("/run/netns").glob("rca-*")]
    found += [str(p) for p in Path("/sys/class/net").glob("rca0*")]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob("rca-llm")]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob("*/rca-llm")]
    return found


@pytest.fixture(scope="module", autouse=True)
def clean_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove the tests' runs before and after, and the stack after.

    The home folder holds a token of other work with Ray, which Ray would use on the head alone.
    """
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("0" * 64)
    shutil.rmtree(RUNS / RUN, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield
        subprocess.run(["make", "uninstall"], cwd=REPOSITORY, capture_output=True)
    shutil.rmtree(RUNS / RUN, ignore_errors=True)


def signal_in_mid_fault(case: str, number: signal.Signals) -> tuple[int, str]:
    """Run the experiment and signal its whole process group while the case's fault is active.

    Returns:
        The exit status and what was printed.
    """
    with subprocess.Popen(
        EXPERIMENT, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "fault window, " in line and active_fault() == f"{RUN}.{case}":
                os.killpg(child.pid, number)
                break
        lines += child.stdout.readlines()
    return child.returncode, "".join(lines)


def test_ctrl_c_in_mid_fault_leaves_neither_fault_nor_process() -> None:
    status, printed = signal_in_mid_fault(CPU_CASE, signal.SIGINT)
    assert "Done." in printed, printed[-5000:]
    assert status != 0
    assert not active_fault()
    assert not list((STATE / "faults").glob("*.json"))
    assert not traces_of_us()


def test_a_killed_run_leaves_an_undo_record_that_the_sweep_carries_out() -> None:
    _, printed = signal_in_mid_fault(DELAY_CASE, signal.SIGKILL)
    assert active_fault() == f"{RUN}.{DELAY_CASE}", printed[-5000:]
    assert "taken back and verified" in run(["make", "sweep"])
    assert not active_fault()
    assert not list((STATE / "faults").glob("*.json"))


def test_recording_goes_on_where_it_was_killed() -> None:
    assert (RUNS / RUN / "cases" / CPU_CASE / "case.json").exists()
    tags = "benchmark,collect-telemetry-data"
    playbook = [str(TOOLS / "ansible-playbook"), "execute-experiment.yaml", "--tags", tags]
    options = ["-e", "experiment=smoke", "-e", f"run_id={RUN}"]
    printed = run([*playbook, *options], REPOSITORY / "ansible")
    assert f"complete {CPU_CASE}" in " ".join(printed.split())
    assert f"to record {DELAY_CASE}" in " ".join(printed.split())
    assert (RUNS / RUN / "cases" / DELAY_CASE / "case.json").exists()


@pytest.mark.parametrize("transport", ["aiohttp", "raw"])
def test_the_load_generator_counts_what_vllm_counts(transport: str) -> None:
    pods = json.loads((STATE / "stack.json").read_text())["pods"]
    url = f"http://{pods['nginx-proxy']['address']}:8080"
    script = str(REPOSITORY / "llm-benchmark/benchmarks/beside_vllm.py")
    options = ["--prometheus", "http://127.0.0.1:19090", "--model", "tiny-llama"]
    options += ["--rate", "2", "--seconds", "15", "--transport", transport]
    # It fails where a request or a token is counted by one side alone.
    printed = run([sys.executable, script, "--url", url, *options])
    assert "| requests | " in printed
    assert "errors 0" in printed


def test_a_complete_run_is_scored_and_nothing_is_started() -> None:
    printed = run(EXPERIMENT)
    assert "2 cases in " in printed
    assert ", 0 to record" in " ".join(printed.split())
    assert "Start the supervisor" not in printed
    assert "AC@1" in printed
    board = pd.read_csv(RUNS / RUN / "evaluation/leaderboard.csv")
    assert set(board["method"]) >= {"random", "nsigma", "baro"}
    assert not traces_of_us()


@pytest.mark.parametrize("case", [CPU_CASE, DELAY_CASE])
def test_the_fault_does_not_blind_the_telemetry(case: str) -> None:
    record = json.loads((RUNS / RUN / "cases" / case / "case.json").read_text())
    assert record["quality"]["samples_share"] >= 0.95
    # Few scrapes fit into so short a fault: one lost is 6 %.
    assert all(share >= 0.9 for share in record["quality"]["scrapes_during_fault"].values())


@pytest.mark.parametrize(
    ("case", "indicator"),
    [
        (CPU_CASE, "ray-replicas-1_throttled"),
        (DELAY_CASE, "ray-replicas-0_tcp-round-trip"),
    ],
)
def test_the_fault_shows_on_the_faulted_service_and_on_the_client(
    case: str, indicator: str
) -> None:
    folder = RUNS / RUN / "cases" / case
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
    traces = pd.read_parquet(RUNS / RUN / "cases" / CPU_CASE / "traces.parquet")
    services = traces.groupby("traceID")["serviceName"].agg(set)
    whole = services.map({"load-generator", "nginx-proxy", "ray-head"}.issubset)
    engine = services.map(lambda s: any(name.startswith("ray-replicas-") for name in s))
    assert (whole & engine).mean() > 0.9


def test_one_case_is_explained_without_its_ground_truth(tmp_path: Path) -> None:
    case = RUNS / RUN / "cases" / CPU_CASE
    page = tmp_path / "explanation.html"
    printed = run([str(TOOLS / "rca-benchmark"), "explain", str(case), "--html", str(page)])
    assert "ray-replicas-1" in printed
    assert re.search(r"<svg.*ray-replicas-\d_\w", page.read_text(), re.DOTALL)


def test_uninstalling_leaves_no_trace() -> None:
    run(["make", "uninstall"])
    assert not traces_of_us()
    assert not STATE.exists()
    assert not Path("/run/rca-llm").exists()
