"""What the help and the README show works as pasted, and the README leaves nothing out."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llm_benchmark.cli import COMMANDS, main

COMMAND = str(Path(sys.executable).with_name("llm-benchmark"))
README = Path(__file__).parents[1] / "README.md"
SHORT_RUN = [
    *("run", "--provider=vllm", "--model=stub", "--rate=50", "--duration=200ms"),
    *("--prompt-tokens=8", "--output-tokens=4"),
]


def commands_in(text: str) -> list[str]:
    """Return the lines that begin with the program's name, continuations joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in joined.splitlines() if re.match(r"\s*llm-benchmark ", line)]


def help_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out.split("\nexample", 1)[1]


def paste(commands: list[str], url: str, folder: Path) -> None:
    """Run commands as they are, but for the port, and in this folder."""
    port = url.rsplit(":", 1)[1]
    for _, *pasted in map(shlex.split, commands):
        if pasted[0] == "stub-server":
            free = [part.replace("8099", "0") for part in pasted]
            with subprocess.Popen([COMMAND, *free], stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
                process.send_signal(signal.SIGINT)
            assert process.returncode == 0
        else:
            here = [part.replace(":8099", f":{port}") for part in pasted]
            done = subprocess.run([COMMAND, *here], cwd=folder, check=False)
            assert done.returncode == 0


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_examples_of_the_help_work_as_pasted(
    command: str, stub_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_in(help_of(command.split(), capsys))
    assert commands
    needed = {"report": ["results"], "compare": ["results", "other-results"]}.get(command, [])
    for folder in needed:
        main([*SHORT_RUN, f"--url={stub_url}", f"--out={tmp_path / folder}"])
    if command == "merge":
        for shard in range(2):
            out = f"--out={tmp_path / f'shard-{shard}'}"
            main([*SHORT_RUN, f"--url={stub_url}", out, f"--shard={shard}/2"])
    paste(commands, stub_url, tmp_path)


def test_the_commands_of_the_readme_work_as_pasted(stub_url: str, tmp_path: Path) -> None:
    paste(commands_in(README.read_text(encoding="utf-8")), stub_url, tmp_path)
    assert (tmp_path / "results" / "report.html").exists()


def test_the_readme_names_every_command_and_every_option_of_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    readme = README.read_text(encoding="utf-8")
    assert not [command for command in COMMANDS if f"`{command}`" not in readme]
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {
        "--help",
        "--no-stream",
    }
    assert not sorted(option for option in options if option not in readme)
