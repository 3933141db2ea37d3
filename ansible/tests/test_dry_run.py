"""Dry runs: what would be hit is listed, what cannot be is refused, and nothing is changed."""

import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ANSIBLE = Path(__file__).resolve().parents[1]
PLAYBOOK = [str(Path(sys.executable).parent / "ansible-playbook"), "--check"]
INVENTORIES = ANSIBLE.parent / "inventories"


def play(playbook: str, *variables: str, inventory: str = "local") -> tuple[int, str]:
    """Run a playbook in check mode; returns its status and what it printed, in one line."""
    options = [part for variable in variables for part in ("-e", variable)]
    command = [*PLAYBOOK, "-i", str(INVENTORIES / inventory), playbook, *options]
    done = subprocess.run(command, cwd=ANSIBLE, capture_output=True, text=True, timeout=300)
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


@pytest.fixture
def silent_api(tmp_path: Path) -> Iterator[socket.socket]:
    """Let a kubeconfig lead to a socket that nobody should knock at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster = {"server": f"http://127.0.0.1:{server.getsockname()[1]}"}
        config = {
            "clusters": [{"name": "test", "cluster": cluster}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
            "current-context": "test",
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        yield server


@pytest.mark.parametrize(
    ("experiment", "lines"),
    [
        (
            "paper-2026",
            [
                "130 cases in {run}, 130 to record, about 845 minutes",
                "model falcon-h1-7b-instruct with data 4, tensor 1, pipeline 1, head_serves True",
                "load: 5 requests per second, constant, 512 tokens of prompt, 256 of answer",
                "each: 60 s warm-up, 225 s normal, 60 s fault, 15 s after",
                "to record ray-replicas-0_cpu_1 workers=16, load=100",
                "to record ray-replicas-2_accelerator_10 power_limit_w=150",
                "to record control_10",
            ],
        ),
        (
            "smoke",
            [
                "2 cases in {run}, 2 to record, about 3 minutes",
                "model tiny-llama with data 2",
                "to record ray-replicas-1_cpu_1 workers=2, load=100",
                "to record ray-replicas-0_network-delay_1 delay_ms=200, jitter_ms=20",
            ],
        ),
    ],
)
def test_on_a_cluster_the_whole_plan_is_listed_and_nobody_is_asked(
    silent_api: socket.socket, tmp_path: Path, experiment: str, lines: list[str]
) -> None:
    if shutil.disk_usage(tmp_path).free >> 30 < 10:
        pytest.skip("the plan of the study asks for 10 GiB of free disk")
    run = tmp_path / "run"
    variables = (f"experiment_run_dir={run}", f"cluster_kubeconfig={tmp_path / 'kubeconfig'}")
    status, printed = play(
        *("execute-experiment.yaml", f"experiment={experiment}", *variables),
        inventory="example-cluster",
    )
    assert status == 0, printed
    assert [line for line in lines if line.format(run=run) not in printed] == []
    assert "changed=0" in printed
    assert not run.exists()
    assert not select.select([silent_api], [], [], 0)[0]


@pytest.mark.parametrize(
    ("inventory", "variables", "refusal", "listed"),
    [
        ("local", ["model_id=phi-4"], "model phi-4 does not run on platform local", ""),
        ("example-cluster", ["model_id=phi-4"], "", "model phi-4 with data 2"),
        ("local", ["model_id=nope"], "unknown model 'nope'; choose one of: falcon-2-11b,", ""),
        ("example-cluster", ["model_id=nope"], "unknown model 'nope'; choose one of:", ""),
        *(
            (inventory, [variable], "", "each: 5 s warm-up, 30 s normal, 15 s fault, 8 s after")
            for inventory, variable in (
                ("local", '{"experiment_windows": {"normal": 30}}'),
                ("example-cluster", "experiment_windows='{\"normal\": 30}'"),
            )
        ),
        (
            "local",
            ["experiment_seed=soon"],
            "smoke.yaml with overrides: experiment_seed: 'soon' is no number",
            "",
        ),
    ],
)
def test_variables_override_the_plan(
    tmp_path: Path, inventory: str, variables: list[str], refusal: str, listed: str
) -> None:
    status, printed = play(
        *("execute-experiment.yaml", "experiment=smoke", f"experiment_run_dir={tmp_path / 'run'}"),
        *variables,
        inventory=inventory,
    )
    assert (status != 0) == bool(refusal)
    assert (refusal or listed) in printed
    assert "changed=0" in printed


@pytest.mark.parametrize(
    ("inventory", "replicas"), [("local", [2]), ("example-cluster", [1, 2, 3, 4])]
)
def test_the_smoke_tests_serve_with_as_many_replicas_as_there_can_be(
    inventory: str, replicas: list[int]
) -> None:
    variables = ("run_id=rcatest", "experiment_seed=7", '{"experiment_controls": "3"}')
    status, printed = play("experiments-smoke-tests.yaml", *variables, inventory=inventory)
    assert status == 0, printed
    assert f"smoke: 5 cases in {ANSIBLE.parent}/data/runs/rcatest," in printed
    for n in range(1, 5):
        run = f"smoke-dp: 3 cases in {ANSIBLE.parent}/data/runs/rcatest-dp-{n}, 3 to record,"
        model = "about 3 minutes model tiny-llama with data"
        assert (f"{run} {model} {n}" in printed) == (n in replicas)
    assert "changed=0" in printed
