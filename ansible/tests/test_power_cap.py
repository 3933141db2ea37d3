"""Power limits and clocks: lowered, read back, put back however it ends; a played nvidia-smi."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvidia_smi_stand_in import Gpus

PROGRAM = Path(__file__).resolve().parents[1] / "roles" / "chaos" / "files" / "power_cap.py"


@pytest.fixture
def gpus(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Two GPUs of 350 W and 1980 MHz; `start` starts the program."""
    played, state, held = Gpus(tmp_path), tmp_path / "state", tmp_path / "held"
    state.mkdir()
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str, lease: float = 60) -> subprocess.Popen[str]:
        told = [f"--state={state}", f"--held={held}", f"--lease={lease}"]
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *told, *arguments],
            env={**os.environ, "PATH": f"{played.folder}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    def limits() -> dict[str, float]:
        return played.all("power.limit")

    def undo_files() -> list[str]:
        return sorted(path.name for path in state.iterdir())

    yield SimpleNamespace(
        played=played, start=start, limits=limits, state=state, held=held, undo_files=undo_files
    )
    for process in processes:
        process.kill()
        process.communicate()


def begun(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_limits_are_lowered_and_put_back_when_told_to_end(gpus: SimpleNamespace) -> None:
    process = gpus.start("--watts=150", "GPU-b")
    assert begun(process) == "GPU-b: 150 W\n"
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 150}
    assert json.loads((gpus.state / "GPU-b.json").read_text()) == {"power_limit_w": 350}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}
    assert gpus.undo_files() == []


def test_limits_are_put_back_when_nobody_comes(gpus: SimpleNamespace) -> None:
    process = gpus.start("--watts=150", "GPU-a", "GPU-b", lease=1)
    assert begun(process)
    assert gpus.limits() == {"GPU-a": 150, "GPU-b": 150}
    assert process.wait(20) == 0
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}


def test_a_clock_is_locked_and_let_go(gpus: SimpleNamespace) -> None:
    process = gpus.start("--clock=600", "GPU-a")
    assert begun(process) == "GPU-a: 600 MHz\n"
    assert gpus.played.all("clocks.sm") == {"GPU-a": 600, "GPU-b": 1980}
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert gpus.played.all("clocks.sm") == {"GPU-a": 1980, "GPU-b": 1980}


@pytest.mark.parametrize("how", ["--watts=150", "--clock=600"])
def test_what_a_killed_one_left_is_put_back_when_told(gpus: SimpleNamespace, how: str) -> None:
    before = gpus.played.state.read_text()
    process = gpus.start(how, "GPU-a", "GPU-b")
    assert begun(process)
    process.kill()
    process.wait(20)
    assert gpus.undo_files() == ["GPU-a.json", "GPU-b.json"]
    assert gpus.start("--put-back", "GPU-a", "GPU-b").wait(20) == 0
    assert json.loads(gpus.played.state.read_text()) == json.loads(before)
    assert gpus.undo_files() == []


def test_what_a_killed_one_left_is_put_back_by_the_next_on_that_gpu(gpus: SimpleNamespace) -> None:
    process = gpus.start("--watts=150", "GPU-a")
    assert begun(process)
    process.kill()
    process.wait(20)
    following = gpus.start("--watts=200", "GPU-a", lease=1)
    assert begun(following)
    assert following.wait(20) == 0
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}


def test_without_an_undo_file_nothing_is_put_back(gpus: SimpleNamespace) -> None:
    gpus.played.change("GPU-a", **{"power.limit": 250.0})  # by somebody else
    assert gpus.start("--put-back", "GPU-a", "GPU-b").wait(20) == 0
    assert gpus.limits() == {"GPU-a": 250, "GPU-b": 350}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watts=50", "GPU-a"], "GPU-a takes 100 to 400 W, not 50 W"),
        (["--watts=500", "GPU-a"], "GPU-a takes 100 to 400 W, not 500 W"),
        (["--clock=100", "GPU-a"], "GPU-a takes 210 to 1980 MHz, not 100 MHz"),
        (["--watts=150", "GPU-a", "GPU-z"], "GPU-z is not here; here are GPU-a, GPU-b"),
    ],
)
def test_what_no_gpu_takes_is_refused_before_any_is_changed(
    gpus: SimpleNamespace, arguments: list[str], message: str
) -> None:
    before = gpus.played.state.read_text()
    process = gpus.start(*arguments)
    assert process.communicate(timeout=20)[1].strip() == message
    assert process.returncode == 1
    assert gpus.played.state.read_text() == before
    assert gpus.undo_files() == []
    assert not gpus.held.exists()


def test_a_gpu_whose_clock_cannot_be_locked_is_refused(gpus: SimpleNamespace) -> None:
    gpus.played.change("GPU-b", **{"clocks.sm": "[N/A]"})
    process = gpus.start("--clock=600", "GPU-a", "GPU-b")
    assert process.communicate(timeout=20)[1].strip() == "GPU-b: its clock cannot be locked"
    assert gpus.played.all("clocks.sm")["GPU-a"] == 1980


@pytest.mark.parametrize("names", [["GPU-a", "GPU-b"], ["GPU-b", "GPU-a"]])
def test_one_that_cannot_be_set_is_never_said_to_be_held(
    gpus: SimpleNamespace, names: list[str]
) -> None:
    gpus.played.change("GPU-b", stuck=True)
    process = gpus.start("--watts=150", *names)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Insufficient Permissions" in errors
    assert gpus.limits()["GPU-a"] == 350
    assert gpus.undo_files() == ["GPU-b.json"]  # it cannot be put back either
    assert not gpus.held.exists()
