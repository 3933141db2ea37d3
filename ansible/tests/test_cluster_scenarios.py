"""Faults on a cluster, its controllers played: made, refused, stuck, swept, with the API away."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_api import ClusterApi, Object

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
TARGET = "ray-replicas-0"


class Cluster:
    """A stack of one proxy, head and two replicas, with Chaos Mesh.

    Attributes:
        injects: whether Chaos Mesh does what it is told.
        lets_go: whether it removes its finalizers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.injects, self.lets_go = folder, True, True
        self.api = ClusterApi(self.react)
        for name in ("ray", "gpu-faults"):
            self.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for kind in ("StressChaos", "NetworkChaos", "PodChaos"):
            self.api.put(crd(kind))
        for service in ("nginx-proxy", "ray-head", TARGET, "ray-replicas-1"):
            self.api.put(pod(service, "True"))
        self.inventory = folder / "inventory"
        shutil.copytree(ANSIBLE.parent / "inventories" / "example-cluster", self.inventory)
        (self.inventory / ".secrets").mkdir()
        self.api.kubeconfig(self.inventory / ".secrets" / "kubeconfig")
        self.records = self.inventory / ".cache" / "faults"

    def react(self, api: ClusterApi, method: str, item: Object) -> None:
        """Chaos Mesh: makes a pod fail while a PodChaos is there."""
        if item["kind"] != "PodChaos":
            return
        about, forced = item["metadata"], "chaos-mesh.chaos-mesh.org/cleanFinalizer"
        gone = method == "DELETE" and self.lets_go
        if gone or (about.get("annotations") or {}).get(forced) == "forced":
            api.delete("PodChaos", about["name"], about["namespace"])
            api.put(pod(TARGET, "True"))
        elif method != "DELETE" and self.injects and "finalizers" not in about:
            api.put(pod(TARGET, "False"))
            done = {"conditions": [{"type": "AllInjected", "status": "True"}]}
            api.put({**item, "metadata": {**about, "finalizers": ["chaos"]}, "status": done})

    def broken(self) -> bool:
        """Whether the target suffers or anything that breaks it is there."""
        target = self.api.get("Pod", TARGET, "ray")
        assert target is not None
        ready = target["status"]["conditions"][0]["status"] == "True"
        return not ready or bool(self.api.of_kind("PodChaos"))

    def command(self, playbook: str, **variables: object) -> list[str]:
        quick = {"chaos_making_timeout_s": 5, "chaos_letting_go_timeout_s": 3}
        given = json.dumps({**quick, **variables})
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory), playbook]
        return [*command, "-e", given]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.folder)}

    def play(self, playbook: str, **variables: object) -> tuple[int, str]:
        done = subprocess.run(
            self.command(playbook, **variables),
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=300,
            env=self.environment(),
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())


def crd(kind: str) -> Object:
    plural = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.chaos-mesh.org"},
        "spec": {
            "group": "chaos-mesh.org",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1alpha1"}],
        },
    }


def pod(service: str, ready: str) -> Object:
    labels = {"rca-llm/service": service}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": service, "namespace": "ray", "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": service}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.api.server.shutdown()
    cluster.api.server.server_close()


PAUSE = {"fault": "pause", "target": TARGET, "seconds": 2}


def test_a_fault_is_made_seen_and_taken_back(cluster: Cluster) -> None:
    status, printed = cluster.play("inject-fault.yaml", **PAUSE)
    assert status == 0, printed[-3000:]
    assert "active_ns" in printed
    assert "recovered_ns" in printed
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_what_chaos_mesh_does_not_make_fails_and_leaves_nothing(cluster: Cluster) -> None:
    cluster.injects = False
    status, printed = cluster.play("inject-fault.yaml", **PAUSE)
    assert status != 0
    assert "Wait until it says that it has" in printed
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_an_object_that_is_not_let_go_is_freed(cluster: Cluster) -> None:
    cluster.lets_go = False
    status, printed = cluster.play("inject-fault.yaml", **PAUSE)
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


def begun(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start a long fault and wait until it is there."""
    process = subprocess.Popen(
        cluster.command("inject-fault.yaml", **{**PAUSE, "seconds": 600}),
        cwd=ANSIBLE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=cluster.environment(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not cluster.broken():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def test_a_killed_controllers_fault_is_swept(cluster: Cluster) -> None:
    process = begun(cluster)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert cluster.broken()
    assert len(list(cluster.records.iterdir())) == 1
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_a_fault_without_a_record_is_swept_by_its_label(cluster: Cluster) -> None:
    process = begun(cluster)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shutil.rmtree(cluster.records)
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


def test_the_api_may_be_away_while_a_fault_is_taken_back(cluster: Cluster) -> None:
    def away_for_a_while() -> None:
        while not cluster.broken():
            time.sleep(0.1)
        time.sleep(6)  # the fault is confirmed by then, and its window ends
        cluster.api.down = True
        time.sleep(15)
        cluster.api.down = False

    thread = threading.Thread(target=away_for_a_while)
    thread.start()
    status, printed = cluster.play("inject-fault.yaml", **{**PAUSE, "seconds": 8})
    thread.join()
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"fault": "pause", "target": "nginx-proxy"}, "unknown target of fault pause"),
        ({"fault": "cpu", "target": TARGET, "parameters": {"load": 101}}, "cpu: load: 101 lies"),
    ],
)
def test_what_cannot_be_is_refused(
    cluster: Cluster, variables: dict[str, object], message: str
) -> None:
    status, printed = cluster.play("inject-fault.yaml", **variables)
    assert status != 0
    assert message in printed, printed[-2000:]
    assert not cluster.broken()
