"""Dry runs: what would be hit is listed, what cannot be is refused, and nothing is changed."""

import subprocess
import sys
from pathlib import Path

import pytest

ANSIBLE = Path(__file__).resolve().parents[1]
PLAYBOOK = [str(Path(sys.executable).parent / "ansible-playbook"), "--check"]
INVENTORY = ["-i", str(ANSIBLE.parent / "inventories" / "local")]


def play(playbook: str, *variables: str) -> tuple[int, str]:
    """Run a playbook in check mode; returns its status and what it printed, in one line."""
    options = [part for variable in variables for part in ("-e", variable)]
    command = [*PLAYBOOK, *INVENTORY, playbook, *options]
    done = subprocess.run(command, cwd=ANSIBLE, capture_output=True, text=True, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_an_experiment_lists_its_cases_and_touches_nothing(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    variables = ("experiment=all-faults", f"experiment_run_dir={run_dir}")
    status, printed = play("execute-experiment.yaml", *variables)
    assert status == 0, printed
    assert f"all-faults: 9 cases in {run_dir}, 9 to record, about " in printed
    assert "to record ray-replicas-0_network-delay_1 delay_ms=200, jitter_ms=20" in printed
    assert "to record control_1" in printed
    assert "changed=0" in printed
    assert not run_dir.exists()


def test_only_the_first_cases_are_listed_when_limited(tmp_path: Path) -> None:
    variables = ("limit_cases=4", f"experiment_run_dir={tmp_path / 'run'}")
    status, printed = play("experiments-rca-anomaly-injections.yaml", *variables)
    assert status == 0, printed
    assert "rca-anomaly-injections: 4 cases" in printed


@pytest.mark.parametrize(
    ("playbook", "variables", "message"),
    [
        (
            "execute-experiment.yaml",
            ["experiment=nope"],
            "unknown experiment 'nope'; choose one of:",
        ),
        (
            "experiments-rca-anomaly-injections.yaml",
            ["experiment=paper-2026"],
            "model falcon-h1-7b-instruct does not run on platform local",
        ),
        (
            "inject-fault.yaml",
            ["fault=gpu", "target=ray-head"],
            "unknown fault 'gpu'; choose one of: accelerator, cpu, kill,",
        ),
        (
            "inject-fault.yaml",
            ["fault=kill", "target=ray-head"],
            "unknown target of fault kill 'ray-head'; choose one of: ray-replicas-0,",
        ),
        (
            "inject-fault.yaml",
            ["fault=cpu", "target=ray-head", '{"parameters": {"workers": 65}}'],
            "cpu: workers: 65 lies outside 1 to 64",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    playbook: str, variables: list[str], message: str
) -> None:
    status, printed = play(playbook, *variables)
    assert status != 0
    assert message in printed


def test_one_fault_by_hand_is_announced_with_its_parameters() -> None:
    variables = ("fault=cpu", "target=ray-head", '{"parameters": {"workers": 3}}', "seconds=7")
    status, printed = play("inject-fault.yaml", *variables)
    assert status == 0, printed
    assert "cpu on ray-head for 7 s, workers=3" in printed
    assert "changed=0" in printed
