"""What a run's folder says of the run, whatever part of it is executed: manifest and timeline."""

import json
import subprocess
import sys
from pathlib import Path

ANSIBLE = Path(__file__).resolve().parents[1]
# Planning and the summary alone: no step has this tag, and no cluster is asked.
COMMAND = [
    *(str(Path(sys.executable).parent / "ansible-playbook"), "execute-experiment.yaml"),
    *("-i", str(ANSIBLE.parent / "inventories" / "example-cluster"), "--tags=none"),
    *("-e", "experiment=smoke", "-e", "experiment_seed=3"),
]


def play(run: Path, *options: str) -> None:
    command = [*COMMAND, "-e", f"experiment_run_dir={run}", *options]
    done = subprocess.run(command, cwd=ANSIBLE, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout


def test_a_run_that_goes_on_keeps_its_manifest_and_appends_to_its_timeline(tmp_path: Path) -> None:
    run = tmp_path / "run"
    play(run, "-e", "limit_cases=1")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["experiment"]["experiment_seed"] == 3
    cases = {case["id"]: case for case in manifest["cases"]}
    assert list(cases) == ["ray-replicas-1_cpu_1", "ray-replicas-0_network-delay_1"]
    assert cases["ray-replicas-1_cpu_1"] == {
        "id": "ray-replicas-1_cpu_1",
        "fault": "cpu",
        "target": "ray-replicas-1",
        "parameters": {"workers": 2, "load": 100},
        "seed": 572783288,  # the first 32 bits of sha256("3/<case id>")
    }
    first = json.loads((run / "timeline.json").read_text())
    assert [phase["name"] for phase in first] == ["plan", "end"]

    play(run)
    assert json.loads((run / "manifest.json").read_text()) == manifest
    timeline = json.loads((run / "timeline.json").read_text())
    assert [phase["name"] for phase in timeline] == ["plan", "end", "plan", "end"]
    assert timeline[:2] == first
    starts = [phase["start"] for phase in timeline]
    assert starts == sorted(starts)
    assert all(start.endswith("Z") for start in starts)
