"""Fault processes: started, found by their mark, ended by hand or by the lease."""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
FAMILY = "sleep 600 & sleep 600 & wait"


@pytest.fixture
def fault_process(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("fault_process")


@pytest.fixture
def fault(run_program: Run) -> Iterator[str]:
    """Return the id of a fault; what it leaves behind is ended."""
    fault_id = f"rcatest-{uuid.uuid4()}"
    yield fault_id
    run_program("fault_process", "stop", "--id", fault_id)


@pytest.fixture
def marked(run_program: Run, fault: str) -> Callable[[], list[int]]:
    """Return the program's own list of the fault's processes."""
    return lambda: json.loads(run_program("fault_process", "list", "--id", fault).stdout)


def start(run_program: Run, fault: str, script: str, *options: object, lease: float = 600) -> None:
    """Start a shell script as a fault."""
    arguments = ("start", "--id", fault, "--lease", lease, *options, "--", "sh", "-c", script)
    done = run_program("fault_process", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fault_is_started_listed_and_stopped_with_its_children(
    run_program: Run, fault: str, marked: Callable[[], list[int]], wait_for: Callable[..., None]
) -> None:
    assert marked() == []
    start(run_program, fault, FAMILY)
    wait_for(lambda: len(marked()) == 4)  # timeout, sh and both sleeps
    assert run_program("fault_process", "stop", "--id", fault).stdout == "changed\n"
    assert marked() == []
    assert run_program("fault_process", "stop", "--id", fault).stdout == "unchanged\n"


def test_the_lease_ends_a_fault_that_nobody_stops(
    run_program: Run, fault: str, marked: Callable[[], list[int]], wait_for: Callable[..., None]
) -> None:
    start(run_program, fault, FAMILY, lease=1)
    wait_for(lambda: marked() == [])
    assert run_program("fault_process", "stop", "--id", fault).stdout == "unchanged\n"


def test_processes_are_found_by_their_mark_when_their_parent_was_killed(
    run_program: Run,
    fault: str,
    marked: Callable[[], list[int]],
    wait_for: Callable[..., None],
) -> None:
    start(run_program, fault, FAMILY)
    wait_for(lambda: len(marked()) == 4)
    for pid in marked():
        if Path(f"/proc/{pid}/comm").read_text().strip() in ("timeout", "sh"):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(marked()) == 2)
    assert run_program("fault_process", "stop", "--id", fault).stdout == "changed\n"
    assert marked() == []


def test_a_fault_that_ignores_sigterm_is_killed(
    run_program: Run,
    fault: str,
    fault_process: ModuleType,
    marked: Callable[[], list[int]],
    wait_for: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    deaf = tmp_path / "deaf"
    start(run_program, fault, f"trap '' TERM; touch {deaf}; while :; do sleep 0.2; done")
    wait_for(deaf.exists)
    monkeypatch.setattr(fault_process, "GRACE_S", 0.5)
    assert fault_process.stop(fault) is True
    assert marked() == []


def test_a_process_that_does_not_end_is_an_error_that_names_it(
    fault_process: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = 2**22 + 1  # above the kernel's highest process id
    monkeypatch.setattr(fault_process, "marked", lambda _fault_id: [nobody])
    monkeypatch.setattr(fault_process, "GRACE_S", 0.05)
    with pytest.raises(SystemExit, match=rf"\[{nobody}\] of fault rcatest do not end"):
        fault_process.stop("rcatest")


def test_only_the_whole_mark_counts(
    run_program: Run, fault: str, fault_process: ModuleType, wait_for: Callable[..., None]
) -> None:
    start(run_program, fault, "sleep 600")
    wait_for(lambda: fault_process.marked(fault))
    assert fault_process.marked(fault[:-1]) == []
    assert fault_process.stop(fault[:-1]) is False


def test_the_command_is_taken_as_it_stands(
    run_program: Run, fault: str, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    out = tmp_path / "arguments"
    script = f'echo "$0 $*" > {out}.new; mv {out}.new {out}'
    command = ("sh", "-c", script, "zero", "--", "--id", "other")
    run_program("fault_process", "start", "--id", fault, "--lease", 60, "--", *command)
    wait_for(out.exists)
    assert out.read_text() == "zero -- --id other\n"


def test_a_fault_without_command_is_refused(run_program: Run, fault: str) -> None:
    done = run_program("fault_process", "start", "--id", fault, "--lease", 60)
    assert done.returncode == 2
    assert "start needs a command behind --" in done.stderr


def test_a_fault_is_born_in_its_group_and_namespace(
    run_program: Run,
    fault: str,
    group: str,
    namespace: str,
    hierarchy: Any,
    cgroups: ModuleType,
    marked: Callable[[], list[int]],
    wait_for: Callable[..., None],
) -> None:
    start(run_program, fault, FAMILY, "--group", group, "--namespace", namespace)
    wait_for(lambda: len(marked()) == 4)
    assert cgroups.members(hierarchy, group) == set(marked())
    inside = Path("/run/netns", namespace).stat().st_ino
    assert {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in marked()} == {inside}
    assert run_program("fault_process", "stop", "--id", fault).stdout == "changed\n"


def test_a_group_that_is_not_there_starts_nothing(
    run_program: Run, fault: str, hierarchy: Any, marked: Callable[[], list[int]]
) -> None:
    arguments = ("--id", fault, "--lease", 60, "--group", "rcatest-absent", "--", "sleep", "600")
    assert run_program("fault_process", "start", *arguments).returncode != 0
    assert marked() == []
