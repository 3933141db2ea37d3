"""Holding a setting: applied at once, reverted at the end, whatever the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HOLD = Path(__file__).resolve().parents[1] / "roles/chaos/files/hold.py"


def start(folder: Path, *program: str, apply: str = "touch held") -> subprocess.Popen[bytes]:
    """Hold a file in a folder."""
    command = [sys.executable, str(HOLD), "--apply", apply, "--revert", "rm held"]
    return subprocess.Popen([*command, *(("--", *program) if program else ())], cwd=folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("program", [(), ("sleep", "600")])
def test_what_is_applied_is_reverted_at_the_end(
    tmp_path: Path, wait_for: Callable[..., None], number: signal.Signals, program: tuple[str, ...]
) -> None:
    with start(tmp_path, *program) as holder:
        wait_for((tmp_path / "held").exists)
        assert holder.poll() is None
        holder.send_signal(number)
        assert holder.wait(30) == 0
    assert not (tmp_path / "held").exists()


def test_it_ends_with_its_program_and_reverts(tmp_path: Path) -> None:
    with start(tmp_path, "sh", "-c", "test -e held && exit 7") as holder:
        assert holder.wait(30) == 7
    assert not (tmp_path / "held").exists()


def test_what_cannot_be_applied_is_reverted_all_the_same(tmp_path: Path) -> None:
    with start(tmp_path, apply="sh -c 'touch held; exit 3'") as holder:
        assert holder.wait(30) == 1
    assert not (tmp_path / "held").exists()


def test_reverting_carries_no_mark_by_which_it_could_be_ended(tmp_path: Path) -> None:
    script = "sh -c 'echo ${RCA_FAULT_ID-none} > mark'"
    command = [sys.executable, str(HOLD), "--apply", "true", "--revert", script, "--", "true"]
    marked = {**os.environ, "RCA_FAULT_ID": "demo"}
    assert subprocess.run(command, cwd=tmp_path, env=marked).returncode == 0
    assert (tmp_path / "mark").read_text() == "none\n"
