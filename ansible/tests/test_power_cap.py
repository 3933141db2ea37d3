"""Power limits: lowered, read back, put back however it ends; a stand-in for nvidia-smi."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "roles" / "chaos" / "files" / "power_cap.py"
NVIDIA_SMI = """#!{python}
import json, sys
path = {state!r}
limits = json.load(open(path))
options = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:])
if "power-limit" in options:
    if limits.get("stuck") == options["id"]:
        sys.exit("Insufficient Permissions")
    limits[options["id"]] = float(options["power-limit"])
    json.dump(limits, open(path, "w"))
else:
    for name, watts in limits.items():
        if name != "stuck":
            print(f"{{name}}, {{watts:.2f}}, 100.00, 400.00")
"""


@pytest.fixture
def gpus(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Two GPUs of 350 W; `hold` starts the program, `limits` reads what they have."""
    state, undo = tmp_path / "state.json", tmp_path / "undo.json"
    state.write_text(json.dumps({"GPU-a": 350.0, "GPU-b": 350.0}))
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(NVIDIA_SMI.format(python=sys.executable, state=str(state)))
    smi.chmod(0o755)
    processes: list[subprocess.Popen[str]] = []

    def hold(*names: str, watts: float = 150, lease: float = 60) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), f"--watts={watts}", f"--lease={lease}"]
        process = subprocess.Popen(
            [*command, f"--undo={undo}", *names],
            env={**os.environ, "PATH": f"{smi.parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    def limits() -> dict[str, float]:
        found: dict[str, float] = json.loads(state.read_text())
        return found

    yield SimpleNamespace(hold=hold, limits=limits, undo=undo, state=state)
    for process in processes:
        process.kill()
        process.communicate()


def begun(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_limits_are_lowered_and_put_back_when_told_to_end(gpus: SimpleNamespace) -> None:
    process = gpus.hold("GPU-b")
    assert begun(process) == "GPU-b: 150 W\n"
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 150}
    assert json.loads(gpus.undo.read_text()) == {"GPU-b": 350}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}
    assert not gpus.undo.exists()


def test_limits_are_put_back_when_nobody_comes(gpus: SimpleNamespace) -> None:
    process = gpus.hold("GPU-a", "GPU-b", lease=1)
    assert begun(process)
    assert gpus.limits() == {"GPU-a": 150, "GPU-b": 150}
    assert process.wait(20) == 0
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}


def test_what_a_killed_one_left_is_put_back_by_the_next(gpus: SimpleNamespace) -> None:
    process = gpus.hold("GPU-a")
    assert begun(process)
    process.kill()
    process.wait(20)
    assert gpus.limits()["GPU-a"] == 150
    following = gpus.hold("GPU-b", watts=200, lease=1)
    assert begun(following)
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 200}


@pytest.mark.parametrize(
    ("names", "watts", "message"),
    [
        (["GPU-a"], 50, "GPU-a takes 100 to 400 W, not 50 W"),
        (["GPU-a"], 500, "GPU-a takes 100 to 400 W, not 500 W"),
        (["GPU-a", "GPU-z"], 150, "GPU-z is not here; here are GPU-a, GPU-b"),
    ],
)
def test_what_no_gpu_takes_is_refused_before_any_is_changed(
    gpus: SimpleNamespace, names: list[str], watts: float, message: str
) -> None:
    process = gpus.hold(*names, watts=watts)
    assert process.communicate(timeout=20)[1].strip() == message
    assert process.returncode == 1
    assert gpus.limits() == {"GPU-a": 350, "GPU-b": 350}
    assert not gpus.undo.exists()


def test_one_that_cannot_be_set_puts_the_others_back(gpus: SimpleNamespace) -> None:
    gpus.state.write_text(json.dumps({"GPU-a": 350.0, "GPU-b": 350.0, "stuck": "GPU-b"}))
    process = gpus.hold("GPU-a", "GPU-b")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Insufficient Permissions" in errors
    assert gpus.limits()["GPU-a"] == 350
