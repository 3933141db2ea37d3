"""Running an experiment: a fake playbook succeeds, fails, is interrupted."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ANSIBLE = Path(__file__).resolve().parents[1]
# The program itself, with another repository and other tools, and without the patience.
LAUNCHER = """
import sys
from pathlib import Path
import run_experiment
root = Path(sys.argv.pop(1))
run_experiment.REPOSITORY = run_experiment.ANSIBLE = root
run_experiment.TOOLS = root / "bin"
run_experiment.PATIENCE_S = 0.2
run_experiment.main()
"""
PLAYBOOK = """#!/bin/sh
cd "$(dirname "$0")/.."
echo "$*" >> calls
case "$*" in
  *sweep-faults.yaml*) echo "said by the sweep"; exit "$(cat sweep-status)" ;;
  *"--tags delete"*) exit "$(cat delete-status)" ;;
esac
trap 'exit 99' INT
[ -e hang ] && touch started
while [ -e hang ]; do sleep 0.05; done
exit "$(cat status)"
"""
INVENTORY = """#!/bin/sh
cd "$(dirname "$0")/.."
[ "$*" = "-i $PWD/inventories/local --host localhost" ] || exit 1
cat platform
"""
REPORT = """#!/bin/sh
cd "$(dirname "$0")/.."
echo "report of $2"
exit "$(cat report-status)"
"""


class Layout(NamedTuple):
    """A repository of fake tools, and how to start the program in it."""

    root: Path
    command: list[str]

    def set(self, **statuses: int) -> None:
        """Choose the exit status of a tool."""
        for name, status in statuses.items():
            (self.root / name.replace("_", "-")).write_text(str(status))

    def write_manifest(self, run_id: str = "demo") -> None:
        """Let it look as if something had been started."""
        folder = self.root / "data" / "runs" / run_id
        (folder / "manifest.json").write_text(json.dumps({}))

    def calls(self) -> list[str]:
        """Return the playbook's command lines so far, without the inventory."""
        lines = (self.root / "calls").read_text().splitlines()
        return [line.removeprefix(f"-i {self.root}/inventories/local ") for line in lines]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        command = [*self.command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


OPTIONS = "-e experiment=demo -e run_id=demo"
PLAYED = [f"execute-experiment.yaml {OPTIONS}"]
CLEANED = [f"sweep-faults.yaml {OPTIONS}", f"execute-experiment.yaml {OPTIONS} --tags delete"]


@pytest.fixture
def layout(
    tmp_path: Path,
    fake_command: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Layout:
    """Make a repository whose playbook and report do as they are told."""
    monkeypatch.setenv("PYTHONPATH", str(ANSIBLE))
    fake_command("sudo", "exit 0")  # root can be had
    (tmp_path / "platform").write_text('{"platform": "local"}')
    for name in ("demo", "second"):
        (tmp_path / "data/runs" / name / "evaluation").mkdir(parents=True)
    plans = tmp_path / "configs/experiments"
    plans.mkdir(parents=True)
    (plans / "demo.yaml").touch()
    (tmp_path / "bin").mkdir()
    for name, script in (
        ("ansible-playbook", PLAYBOOK),
        ("ansible-inventory", INVENTORY),
        ("rca-benchmark", REPORT),
    ):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    made = Layout(tmp_path, [*command, "demo", "--inventory", str(tmp_path / "inventories/local")])
    made.set(status=0, sweep_status=0, delete_status=0, report_status=0)
    return made


def test_success_shows_the_report(layout: Layout) -> None:
    layout.write_manifest()
    done = layout.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"report of {layout.root}/data/runs/demo/evaluation\n"
        "Cases and results: data/runs/demo\n"
        "To open in a browser: data/runs/demo/evaluation/report.html\n"
    )
    assert layout.calls() == PLAYED


def test_a_run_can_have_a_name_of_its_own(layout: Layout) -> None:
    done = layout.run("--run-id", "second")
    assert layout.calls() == ["execute-experiment.yaml -e experiment=demo -e run_id=second"]
    assert done.stdout.endswith("data/runs/second/evaluation/report.html\n")


def test_controls_alone_have_no_report(layout: Layout) -> None:
    (layout.root / "data/runs/demo/evaluation").rmdir()
    done = layout.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Cases: data/runs/demo; there is no answer to score in them\n"


def test_the_reports_failure_is_passed_on(layout: Layout) -> None:
    layout.set(report_status=3)
    done = layout.run()
    assert (done.returncode, done.stderr) == (3, "")


def test_failure_before_anything_was_started_takes_nothing_back(layout: Layout) -> None:
    layout.set(status=4)
    assert layout.run().returncode == 4
    assert layout.calls() == PLAYED


def test_failure_takes_back_the_fault_and_stops_the_stack(layout: Layout) -> None:
    layout.write_manifest()
    layout.set(status=2)
    done = layout.run()
    assert (done.returncode, done.stderr) == (2, "")
    assert layout.calls() == PLAYED + CLEANED
    assert "report of" not in done.stdout
    assert done.stdout.endswith("the same command goes on from there.\n")


def test_a_sweep_that_fails_says_what_to_do(layout: Layout) -> None:
    layout.write_manifest()
    layout.set(status=2, sweep_status=1)
    done = layout.run()
    assert done.returncode == 1
    assert "said by the sweep" in done.stderr
    assert (
        "sweep-faults.yaml failed; fix what it says above, then run: make uninstall" in done.stderr
    )
    assert layout.calls() == PLAYED + CLEANED[:1]


@pytest.fixture
def hanging(layout: Layout, wait_for: Callable[..., None]) -> Iterator[subprocess.Popen[str]]:
    """Start the program, and a playbook that goes on until it is interrupted."""
    layout.write_manifest()
    (layout.root / "hang").touch()
    with subprocess.Popen(layout.command, stdout=subprocess.PIPE, text=True) as child:
        try:
            wait_for((layout.root / "started").exists)
            yield child
        finally:
            (layout.root / "hang").unlink(missing_ok=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_playbook_and_cleans_up(
    layout: Layout, hanging: subprocess.Popen[str], number: signal.Signals, status: int
) -> None:
    hanging.send_signal(number)
    printed, _ = hanging.communicate(timeout=60)
    assert hanging.returncode == status
    assert layout.calls() == PLAYED + CLEANED
    assert "The experiment did not finish" in printed
    assert "report of" not in printed


def test_a_signal_counts_even_if_the_playbook_then_succeeds(
    layout: Layout, hanging: subprocess.Popen[str]
) -> None:
    hanging.send_signal(signal.SIGSTOP)  # so that the signal and the end arrive together
    (layout.root / "hang").unlink()
    hanging.send_signal(signal.SIGTERM)
    hanging.send_signal(signal.SIGCONT)
    hanging.communicate(timeout=60)
    assert hanging.returncode == 143
    assert layout.calls() == PLAYED + CLEANED


# The real playbook's first two calls fail, the first after a case was recorded.
FALTERING = """
case "$*" in
  *sweep-faults.yaml*|*"--tags delete"*) exit 0 ;;
esac
turn=$(ls turns 2>/dev/null | wc -l); mkdir -p turns; touch turns/$turn
[ "$turn" = 0 ] && mkdir -p data/runs/demo/cases/one && touch data/runs/demo/cases/one/case.json
[ "$turn" -lt 2 ] && exit 2
exit 0
"""


@pytest.mark.parametrize(("retries", "status", "played"), [(0, 2, 1), (1, 2, 2), (2, 0, 3)])
def test_a_recording_goes_on_until_it_fails_too_often_in_a_row(
    layout: Layout, retries: int, status: int, played: int
) -> None:
    layout.write_manifest()
    script = layout.root / "bin" / "ansible-playbook"
    head = "\n".join(PLAYBOOK.splitlines()[:3])
    script.write_text(head + FALTERING)
    done = layout.run("--retries", str(retries))
    assert done.returncode == status
    assert sum("--tags" not in c and "sweep" not in c for c in layout.calls()) == played
    assert ("1 cases are recorded; starting again" in done.stdout) == (retries > 0)


def test_retries_that_record_nothing_come_to_an_end(layout: Layout) -> None:
    layout.write_manifest()
    layout.set(status=2)
    assert layout.run("--retries", "2").returncode == 2
    assert layout.calls() == 3 * (PLAYED + CLEANED)


def test_an_interrupted_recording_is_not_started_again(
    layout: Layout, wait_for: Callable[..., None]
) -> None:
    layout.write_manifest()
    (layout.root / "hang").touch()
    command = [*layout.command, "--retries", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        wait_for((layout.root / "started").exists)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 130
    assert layout.calls() == PLAYED + CLEANED


def test_the_number_of_cases_can_be_limited(layout: Layout) -> None:
    layout.run("--limit-cases", "4")
    assert layout.calls() == [f"{PLAYED[0]} -e limit_cases=4"]


def test_variables_are_passed_on_and_cannot_rename_the_run(layout: Layout) -> None:
    layout.run("-e", "model_id=phi-4", "-e", '{"experiment_seed": 3}')
    assert layout.calls() == [
        'execute-experiment.yaml -e model_id=phi-4 -e {"experiment_seed": 3} '
        "-e experiment=demo -e run_id=demo"
    ]


@pytest.fixture
def nobody(layout: Layout) -> Layout:
    """Return the layout, and let the program think that it is not root."""
    somebody = "run_experiment.os.geteuid = lambda: 1000\nroot = Path"
    layout.command[2] = LAUNCHER.replace("root = Path", somebody)
    return layout


def test_who_is_not_root_is_asked_for_sudos_password(
    nobody: Layout, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("sudo", "exit 1")
    nobody.run()
    assert nobody.calls() == [f"execute-experiment.yaml --ask-become-pass {OPTIONS}"]


def test_a_cluster_takes_no_root(nobody: Layout, fake_command: Callable[[str, str], Path]) -> None:
    fake_command("sudo", "exit 1")
    (nobody.root / "platform").write_text('{"platform": "kubernetes"}')
    nobody.run()
    assert nobody.calls() == PLAYED


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{}", "inventories/local: platform is not set; it is local or kubernetes\n"),
        (None, "platform: No such file"),
    ],
)
def test_an_inventory_that_says_nothing_is_refused(
    layout: Layout, said: str | None, message: str
) -> None:
    platform = layout.root / "platform"
    platform.write_text(said) if said else platform.unlink()
    done = layout.run()
    assert done.returncode == 1
    assert message in done.stderr
    assert not (layout.root / "calls").exists()


@pytest.mark.parametrize(
    ("inventory", "served_here"), [("local", True), ("example-cluster", False)]
)
def test_make_asks_for_the_serving_environment_only_where_this_machine_serves(
    inventory: str, served_here: bool
) -> None:
    command = ["make", "--dry-run", "experiment", f"INVENTORY=inventories/{inventory}"]
    done = subprocess.run(command, cwd=ANSIBLE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("set-up.sh serve" in done.stdout) == served_here


def test_an_unknown_experiment_is_refused_before_anything_is_set_up(layout: Layout) -> None:
    plan = layout.root / "configs/experiments/demo.yaml"
    plan.rename(plan.with_stem("other"))
    done = layout.run()
    assert done.returncode == 2
    assert "there is no experiment 'demo'; choose one of: other\n" in done.stderr
    assert not (layout.root / "calls").exists()


def test_make_refuses_an_unknown_experiment_before_anything_is_set_up() -> None:
    command = ["make", "--no-print-directory", "experiment", "EXPERIMENT=nope"]
    done = subprocess.run(command, cwd=ANSIBLE.parent, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("there is no experiment 'nope'; choose one of: all-faults ")
