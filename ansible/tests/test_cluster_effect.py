"""Effects on a cluster: worked out from answers, and read from pods through an API server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cluster_api import ClusterApi

PROGRAM = Path(__file__).resolve().parents[1] / "roles" / "chaos" / "files" / "cluster_effect.py"


@pytest.fixture
def effects(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("cluster_effect")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ClusterApi]:
    api = ClusterApi(lambda *_: None)
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ray"}})
    api.kubeconfig(tmp_path / "kubeconfig")
    yield api
    api.server.shutdown()
    api.server.server_close()


def pod(name: str, created: str, **more: Any) -> dict[str, Any]:
    labels = {"rca-llm/service": "ray-replicas-0"}
    about = {"name": name, "namespace": "ray", "labels": labels, "creationTimestamp": created}
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "c",
                "restartCount": 2,
                "ready": True,
                "image": "i",
                "imageID": "i",
            }
        ],
    }
    spec = {"nodeName": "n-1", "containers": [{"name": "c"}]}
    made = {"apiVersion": "v1", "kind": "Pod", "spec": spec, "status": status}
    return {**made, "metadata": {**about, **more}}


def measured(kubeconfig: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr.strip()


def test_times_of_answers_become_effects(effects: ModuleType) -> None:
    assert effects.round_trip([(0.01, 1), (0.2, 1), (0.03, 1)]) == {"round_trip_ms": 30}
    assert effects.rate([(1.0, 1000), (0.5, 2000)]) == {"rate_kbit": 32}
    late = [(0.01, 1)] * 6 + [(0.21, 1), (0.45, 1)]
    assert effects.loss(late) == {"lost_share": 0.25}
    assert effects.loss([(1.0, 1)] * 8) == {"lost_share": 0}  # slow, but none sent again


def test_the_youngest_pod_of_a_service_counts(api: ClusterApi, tmp_path: Path) -> None:
    api.put(pod("old", "2026-01-01T00:00:00Z"))
    api.put(pod("new", "2026-01-01T00:00:05Z", uid="u-2"))
    api.put(pod("going", "2026-01-01T00:00:09Z", deletionTimestamp="2026-01-01T00:00:10Z"))
    arguments = ("pod", "--service=ray-replicas-0")
    status, printed, errors = measured(tmp_path / "kubeconfig", *arguments)
    assert status == 0, errors
    found = json.loads(printed)
    assert found.pop("at_ns") > 0
    assert found == {"name": "new", "uid": "u-2", "node": "n-1", "ready": True, "restarts": 2}


def test_a_service_without_a_pod_is_not_ready(api: ClusterApi, tmp_path: Path) -> None:
    status, printed, _ = measured(tmp_path / "kubeconfig", "pod", "--service=ray-head")
    assert status == 0
    assert json.loads(printed)["ready"] is False
    status, _, errors = measured(tmp_path / "kubeconfig", "loss", "--service=ray-head")
    assert (status, errors) == (1, "ray has no pod of ray-head")


def test_an_api_that_does_not_answer_is_named(api: ClusterApi, tmp_path: Path) -> None:
    api.down = True
    status, _, errors = measured(tmp_path / "kubeconfig", "pod", "--service=ray-head")
    assert status == 1
    assert errors.startswith("pods of ray: ")
