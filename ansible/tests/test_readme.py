"""The READMEs' commands exist and are run: here, by continuous integration, or end to end."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text() + (REPOSITORY / "data/README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
RUN_ELSEWHERE = "".join(
    (REPOSITORY / path).read_text().replace('", "', " ")
    for path in (".ci/run", "ansible/tests/test_e2e.py")
)
DESTRUCTIVE = {"make clean"}  # removes the environment that runs the tests
TAKES_HOURS = {c for c in COMMANDS if c.startswith(("make data-set", "make artifacts"))}
NOT_RUN = DESTRUCTIVE | TAKES_HOURS | {"make help"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_command_has_a_target(command: str) -> None:
    done = subprocess.run(
        [*command.split(), "--dry-run"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in NOT_RUN])
def test_every_command_is_run_by_ci_or_end_to_end(command: str) -> None:
    words = command.split()
    program = Path(words[0]).name
    assert f"{program} {words[1]}" in RUN_ELSEWHERE.replace('"), ', " ").replace(' "', " ")


def test_help_lists_every_target_with_a_description() -> None:
    done = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True)
    for target in {c.split()[1] for c in COMMANDS if c.startswith("make ")}:
        assert re.search(rf"make {target} +\S", done.stdout), target
