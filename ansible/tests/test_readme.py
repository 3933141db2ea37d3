"""The README's commands exist and are run somewhere: here, by continuous integration, or end to end."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
RUN_ELSEWHERE = (REPOSITORY / ".ci" / "run").read_text() + (
    REPOSITORY / "ansible" / "tests" / "test_e2e.py"
).read_text()
DESTRUCTIVE = {"make clean"}  # removes the environment that runs the tests


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_command_has_a_target(command: str) -> None:
    done = subprocess.run(
        [*command.split(), "--dry-run"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in DESTRUCTIVE | {"make help"}])
def test_every_command_is_run_by_ci_or_end_to_end(command: str) -> None:
    words = command.split()
    begin = " ".join(words[:2]) if words[0] == "make" else Path(words[0]).name
    assert begin in RUN_ELSEWHERE


def test_help_lists_every_target_with_a_description() -> None:
    printed = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True).stdout
    for target in {c.split()[1] for c in COMMANDS if c.startswith("make ")}:
        assert re.search(rf"make {target} +\S", printed), target
