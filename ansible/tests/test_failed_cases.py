"""What follows a case that fails: the roles that record it are played, all else is real."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_back_ends import BackEnds
from warm_python import interpreter

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
FIRST, SECOND = "ray-head_cpu_1", "ray-head_cpu_2"
CASES: list[dict[str, Any]] = [
    {"id": name, "fault": "cpu", "target": "ray-head", "parameters": {}, "seed": 1}
    for name in (FIRST, SECOND)
]
# Each role does what a case's trouble tells it to: trouble is {case: what fails}.
ROLES = """
load:
  - when: load_action == 'start'
    ansible.builtin.set_fact: {load_started_ns: "{{ (experiment_now | float * 1000000000) | int }}"}
  - when: load_action == 'finish' and fails == 'load'
    ansible.builtin.fail: {msg: the load failed}
  - when: load_action == 'stop'
    ansible.builtin.copy: {content: "", dest: "{{ experiment_run_dir }}/stopped", mode: "0644"}
chaos:
  - when: chaos_action == 'inject' and fails in ['inject', 'sweep']
    ansible.builtin.command: {cmd: sh -c 'echo no injection >&2; exit 1'}
  - when: chaos_action == 'inject'
    ansible.builtin.set_fact:
      chaos_injection:
        {requested_ns: 1, active_ns: "{{ load_started_ns }}", evidence: {}, mechanism: none}
  - when: chaos_action == 'undo'
    ansible.builtin.set_fact: {chaos_recovery: {removed_ns: 3, recovered_ns: 4, effect: 0}}
  - when: chaos_action == 'sweep'
    ansible.builtin.copy: {content: "", dest: "{{ experiment_run_dir }}/swept", mode: "0644"}
  - when: chaos_action == 'sweep' and fails == 'sweep'
    ansible.builtin.fail: {msg: a fault is left}
telemetry:
  - when: fails == 'export'
    ansible.builtin.fail: {msg: no export}
  - ansible.builtin.file: {path: "{{ telemetry_case_dir }}", state: directory, mode: "0755"}
  - ansible.builtin.copy: {content: "{}", dest: "{{ telemetry_case_dir }}/case.json", mode: "0644"}
"""
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: experiment, tasks_from: case}
      loop: "{{ experiment_pending }}"
      loop_control: {loop_var: experiment_case}
      tags: [benchmark, collect-telemetry-data]
    - ansible.builtin.include_role: {name: experiment, tasks_from: verdict, apply: {tags: [always]}}
      tags: [always]
  vars:
    experiment_pending: "{{ experiment_plan.cases | rejectattr('complete') }}"
    fails: "{{ trouble[experiment_case.id] | default('') }}"
"""


class Run:
    """A run of two cases, without a stack."""

    def __init__(self, folder: Path, prometheus: str) -> None:
        self.folder, self.run = folder, folder / "run"
        (self.run / "work").mkdir(parents=True)
        for name, tasks in yaml.safe_load(ROLES).items():
            (folder / "roles" / name / "tasks").mkdir(parents=True)
            (folder / "roles" / name / "tasks" / "main.yaml").write_text(yaml.safe_dump(tasks))
        (folder / "play.yaml").write_text(PLAY)
        windows = {"warmup": 0, "normal": 0, "fault": 0, "after": 0}
        parallelism = {"data": 2, "tensor": 1, "pipeline": 1, "head_serves": False}
        experiment = {"experiment_windows": windows, "experiment_parallelism": parallelism}
        self.given: dict[str, Any] = {
            "ansible_python_interpreter": sys.executable,
            "platform": "local",
            "experiment_plan": {"experiment": {**experiment, "experiment_load": {}}},
            "experiment_run_dir": str(self.run),
            "experiment_run_id": "run",
            "experiment_repository": str(ANSIBLE.parent),
            "experiment_prometheus": prometheus,
            "experiment_scrape_s": 1,
            "experiment_serve_environment": str(folder),
            "experiment_pods": {},
            "experiment_cluster": {},
            "local_stack_pods": {},
            "model_name": "tiny",
            "model_engine": {},
        }

    def play(self, trouble: dict[str, str], tags: str = "all", most: int = 3) -> tuple[int, str]:
        """Record what is not complete; returns the status and what was printed, in one line."""
        cases = [{**case, "complete": case["id"] in self.complete()} for case in CASES]
        given = {**self.given, "trouble": trouble, "experiment_most_failures_in_a_row": most}
        given["experiment_plan"] = {**given["experiment_plan"], "cases": cases}
        command = [str(TOOLS / "ansible-playbook"), "-i", "localhost,", "--connection=local"]
        command += ["-e", f"ansible_python_interpreter={interpreter()}"]
        command += [str(self.folder / "play.yaml"), f"--tags={tags}", "-e", json.dumps(given)]
        roles = f"{self.folder / 'roles'}{os.pathsep}{ANSIBLE / 'roles'}"
        variables = {"ANSIBLE_ROLES_PATH": roles, "TMPDIR": str(self.folder)}
        done = subprocess.run(
            command,
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def complete(self) -> set[str]:
        return {path.parent.name for path in self.run.glob("cases/*/case.json")}

    def left(self, name: str) -> set[str]:
        """What is in a folder of the run."""
        folder = self.run / name
        return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    back_ends = BackEnds(lambda _service: False)
    yield Run(tmp_path, f"{back_ends.url}/prometheus")
    back_ends.server.shutdown()
    back_ends.server.server_close()


@pytest.mark.slow
def test_a_case_without_its_fault_is_kept_apart_and_the_next_one_goes_on(run: Run) -> None:
    status, printed = run.play({FIRST: "inject"})
    assert status != 0
    assert f"1 of 2 cases failed: {FIRST}: no injection (" in printed, printed[-3000:]
    assert run.complete() == {SECOND}
    assert run.left("failed") == {FIRST, f"{FIRST}.json"}
    reason = json.loads((run.run / "failed" / f"{FIRST}.json").read_text())
    assert (reason["case"], reason["reason"]) == (FIRST, "no injection")
    assert {"placement.json", "window.json", "export"} <= run.left(f"failed/{FIRST}")
    assert run.left("work") == {SECOND}
    assert (run.run / "swept").exists()

    status, printed = run.play({})
    assert status == 0, printed[-3000:]
    assert SECOND not in printed
    assert run.complete() == {FIRST, SECOND}
    assert run.left("failed") == set()


@pytest.mark.slow
def test_a_load_that_fails_is_stopped_and_failures_in_a_row_end_the_run(run: Run) -> None:
    status, printed = run.play({FIRST: "load"}, tags="benchmark", most=1)
    assert status != 0
    assert f"1 cases in a row failed, the run ends: {FIRST}: the load failed" in printed
    assert (run.run / "stopped").exists()
    assert {"placement.json", "injection.json", "window.json"} <= run.left(f"failed/{FIRST}")
    assert run.left("work") == set()


@pytest.mark.slow
def test_a_recording_whose_export_fails_stays_and_is_exported_again(run: Run) -> None:
    status, printed = run.play({FIRST: "export", SECOND: "export"})
    assert status != 0
    assert f"2 of 2 cases failed: {FIRST}: no export; {SECOND}: no export (" in printed
    assert run.left("work") == {FIRST, SECOND}
    status, printed = run.play({}, tags="collect-telemetry-data")
    assert status == 0, printed[-3000:]
    assert run.complete() == {FIRST, SECOND}
    assert run.left("failed") == set()


@pytest.mark.slow
def test_a_fault_that_is_not_taken_back_ends_the_run(run: Run) -> None:
    status, printed = run.play({FIRST: "sweep"})
    assert status != 0
    assert "a fault is left" in printed
    assert run.left("work") == {FIRST}
    assert run.left("failed") == {f"{FIRST}.json"}
