"""The engine: told by its title, slowed down, frozen, let go, killed once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
# A process that titles itself as vLLM does, and one beside it that does not.
TITLED = ["bash", "-c", "exec -a VLLM::EngineCore sleep 600"]
OTHER = ["sleep", "600"]


@pytest.fixture
def engine(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("engine")


@pytest.fixture
def pod(
    cgroups: ModuleType,
    hierarchy: object,
    group: str,
    engine: ModuleType,
    wait_for: Callable[..., None],
) -> Iterator[tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """A control group with an engine and another process in it."""
    children = [subprocess.Popen(TITLED), subprocess.Popen(OTHER)]
    for child in children:
        cgroups.enter(hierarchy, group, child.pid)
    wait_for(lambda: engine.processes(group) == [children[0].pid])
    yield group, children[0], children[1]
    for child in children:
        child.kill()
        child.wait()


def program_path(engine: ModuleType) -> dict[str, str]:
    """The environment in which the program finds the modules beside it."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_throttled_engine_stands_still_for_its_share_and_runs_again(
    engine: ModuleType,
    pod: tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]],
    program: Callable[[str], ModuleType],
    wait_for: Callable[..., None],
) -> None:
    group, child, other = pod
    effect = program("effect")
    command = ["python3", str(engine.__file__), "throttle", "--group", group, "--share", "0.25"]
    with subprocess.Popen(command, env=program_path(engine)) as throttler:
        wait_for(lambda: engine.state(child.pid) == "T")
        measured = effect.engine_state(group, 1.0)
        others = [engine.state(other.pid) for _ in range(100)]
        throttler.send_signal(signal.SIGTERM)
        assert throttler.wait() == 0
    assert 0.4 < measured["stopped_share"] < 0.95  # 0.75 on an idle machine
    assert set(others) == {"S"}
    assert engine.state(child.pid) == "S"


def test_a_frozen_engine_stays_so_until_it_is_let_go(
    run_program: Run,
    engine: ModuleType,
    pod: tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]],
    wait_for: Callable[..., None],
) -> None:
    group, child, _ = pod
    command = ["python3", str(engine.__file__), "throttle", "--group", group, "--share", "0"]
    with subprocess.Popen(command, env=program_path(engine)) as freezer:
        wait_for(lambda: engine.state(child.pid) == "T")
        assert [engine.state(child.pid) for _ in range(100)] == ["T"] * 100
        freezer.kill()  # too fast for it to clean up
    assert engine.state(child.pid) == "T"
    assert run_program("engine", "continue", "--group", group).stdout == "changed\n"
    assert run_program("engine", "continue", "--group", group).stdout == "unchanged\n"
    assert engine.state(child.pid) == "S"


def test_killing_hits_the_engine_alone_and_only_once(
    run_program: Run,
    engine: ModuleType,
    pod: tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]],
) -> None:
    group, child, other = pod
    killed = run_program("engine", "kill", "--group", group)
    assert json.loads(killed.stdout) == [child.pid]
    assert child.wait() == -signal.SIGKILL
    assert other.poll() is None
    again = run_program("engine", "kill", "--group", group)
    assert again.returncode == 1
    assert again.stderr == f"engine.py: no process in {group} is titled VLLM::...\n"


def test_a_process_that_has_ended_has_no_state(engine: ModuleType) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert engine.state(child.pid) == ""
