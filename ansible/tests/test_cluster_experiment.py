"""A whole experiment on a cluster that is not there: its controllers and back ends are played.

Real are the playbook, the load generator with its runner and conductor, the export and the scores.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from cluster_api import ClusterApi, Object
from cluster_back_ends import GPUS, SERVICES, BackEnds

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
FILES = ANSIBLE / "roles" / "load" / "files"
KINDS = [
    ("chaos-mesh.org", "v1alpha1", "StressChaos"),
    ("chaos-mesh.org", "v1alpha1", "NetworkChaos"),
    ("chaos-mesh.org", "v1alpha1", "PodChaos"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    ("gateway.networking.k8s.io", "v1", "Gateway"),
    ("ray.io", "v1", "RayService"),
]


def crd(group: str, version: str, kind: str) -> Object:
    plural = kind.lower() + ("" if kind.endswith("s") else "s")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version}],
        },
    }


def condition(kind: str) -> Object:
    return {"status": {"conditions": [{"type": kind, "status": "True"}]}}


def pod(service: str) -> Object:
    labels = {"rca-llm/service": service, "ray.io/cluster": "llm"}
    if service == "nginx-proxy":
        labels.pop("ray.io/cluster")
    status = {
        **condition("Ready")["status"],
        "phase": "Running",
        "podIP": f"10.42.0.{SERVICES.index(service) + 1}",
        "hostIP": "192.0.2.1",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": service, "namespace": "ray", "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": service}]},
        "status": status,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Cluster:
    """The API, the controllers, the back ends, and processes that stand for pods."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.faults: dict[str, tuple[float, str]] = {}  # object -> since when, target
        self.back_ends = BackEnds(lambda s: s in {target for _, target in self.faults.values()})
        self.api = ClusterApi(self.react)
        for name in ("ray", "load", "gpu-faults"):
            self.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for about in KINDS:
            self.api.put(crd(*about))
        storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}
        self.api.put({**storage, "metadata": {"name": "local-path"}})
        info = {"architecture": "amd64", "kernelVersion": "6.8.0"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
        self.api.put({**node, "status": {**condition("Ready")["status"], "nodeInfo": info}})
        proxy = {"name": "nginx-proxy", "namespace": "ray"}
        self.api.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": proxy})
        self.api.put(pod("nginx-proxy"))
        for place, part in (
            (("observability", "kube-prometheus-stack-prometheus"), "prometheus"),
            (("observability", "loki"), "loki"),
            (("deepflow", "deepflow-server"), "deepflow"),
            *((("ray", service), f"pod/{service}") for service in SERVICES),
        ):
            self.api.proxied[place] = f"{self.back_ends.url}/{part}"
        self.inventory = folder / "inventory"
        shutil.copytree(ANSIBLE.parent / "inventories" / "example-cluster", self.inventory)
        (self.inventory / ".secrets").mkdir()
        self.api.kubeconfig(self.inventory / ".secrets" / "kubeconfig")
        self.model = f"http://127.0.0.1:{free_port()}"
        port = self.model.rsplit(":", 1)[1]
        self.start([str(TOOLS / "llm-benchmark"), "stub-server", f"--port={port}"])

    def start(self, command: list[str], **variables: str) -> None:
        """Start what a pod would run."""
        self.processes.append(subprocess.Popen(command, env={**os.environ, **variables}))

    def react(self, api: ClusterApi, method: str, item: Object) -> None:
        """What the controllers of a real cluster would do about a change."""
        about, kind = item["metadata"], item["kind"]
        if kind == "RayService":
            for service in SERVICES[1:]:
                if method == "DELETE":
                    api.delete("Pod", service, "ray")
                else:
                    api.put(pod(service))
            if method != "DELETE":
                api.put({**item, **condition("Ready")})
        if kind in ("StressChaos", "NetworkChaos"):
            self.fault(method, about["name"], item)
        if kind == "Job" and about["name"] == "load":
            if method == "POST":
                self.load(item)
            elif method == "DELETE":
                self.processes[-1].terminate()

    def fault(self, method: str, name: str, item: Object) -> None:
        if method == "DELETE":
            begin, target = self.faults.pop(name)
            self.back_ends.history.append((begin, time.time(), target))
        elif name not in self.faults:
            target = item["spec"]["selector"]["labelSelectors"]["rca-llm/service"]
            self.faults[name] = (time.time(), target)
            self.api.put({**item, **condition("AllInjected")})

    def load(self, job: Object) -> None:
        """Run the load's one pod as a process, against a server of this machine."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        port, out = free_port(), self.folder / f"pod-{time.time_ns()}"
        command = [part.replace("$(JOB_COMPLETION_INDEX)", "0") for part in container["command"]]
        mark = command.index("--")
        program = [str(TOOLS / "llm-benchmark") if p == "llm-benchmark" else p for p in command]
        played = {"--url": self.model, "--model": "stub"}
        for name, value in played.items():
            program = [f"{name}={value}" if p.startswith(f"{name}=") else p for p in program]
        runner = [sys.executable, str(FILES / "load_runner.py"), f"--out={out}", f"--port={port}"]
        self.start([*runner, *program[mark:]])
        self.api.proxied["load", "load-0"] = f"http://127.0.0.1:{port}"

    def play(self, **variables: Any) -> tuple[int, str]:
        """Execute the experiment; returns its status and what it printed, in one line."""
        given = {
            "experiment": "smoke",
            "experiment_run_dir": str(self.folder / "run"),
            "experiment_methods": "baro,nsigma,constant",
            "model_image": "image@sha256:0",
            "load_image": "image@sha256:0",
            "checksums": {"models": {}},
            "experiment_slack_s": 20,
            **variables,
        }
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory)]
        done = subprocess.run(
            [*command, "execute-experiment.yaml", "-e", json.dumps(given)],
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=580,
            env={**os.environ, "TMPDIR": str(self.folder)},
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(f"{cluster.model}/health", timeout=1)
            break
        except requests.RequestException:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield cluster
    for process in cluster.processes:
        process.terminate()
        process.wait(10)
    for server in (cluster.api.server, cluster.back_ends.server):
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_an_experiment_is_performed_on_a_cluster(cluster: Cluster) -> None:
    status, printed = cluster.play()
    assert status == 0, printed[-4000:]
    cases = sorted(path.name for path in (cluster.folder / "run" / "cases").iterdir())
    assert {"ray-replicas-0_network-delay_1", "ray-replicas-1_cpu_1"} <= set(cases)
    case = cluster.folder / "run" / "cases" / "ray-replicas-1_cpu_1"
    truth = json.loads((case / "injection.json").read_text())
    assert (truth["service"], truth["fault"]) == ("ray-replicas-1", "cpu")
    assert truth["evidence"]["mechanism"] == "StressChaos"
    placement = yaml.safe_load(
        (cluster.folder / "run/work/ray-replicas-1_cpu_1/placement.json").read_text()
    )
    assert placement["ray-replicas-1"]["gpus"] == [GPUS["ray-replicas-1"]]
    assert not cluster.api.of_kind("RayService")
    assert not cluster.api.of_kind("Job")
    assert not cluster.faults
    assert (cluster.folder / "run" / "evaluation" / "leaderboard.csv").exists()
