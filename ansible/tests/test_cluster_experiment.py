"""A whole experiment on a cluster that is not there: its controllers and back ends are played.

Real are the playbook, the load generator with its runner and conductor, the export and the scores.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import yaml
from cluster_api import ClusterApi, Object, crd, free_port
from cluster_back_ends import ADDRESSES, GPUS, SERVICES, BackEnds
from warm_python import warm

from rca_benchmark.dataset.native import is_complete

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
FIRST, SECOND = "ray-replicas-1_cpu_1", "ray-replicas-0_network-delay_1"


def condition(kind: str) -> Object:
    return {"status": {"conditions": [{"type": kind, "status": "True"}]}}


def pod(service: str) -> Object:
    labels = {"rca-llm/service": service, "ray.io/cluster": "llm"}
    if service == "nginx-proxy":
        labels.pop("ray.io/cluster")
    status = {
        **condition("Ready")["status"],
        "phase": "Running",
        "podIP": ADDRESSES[service],
        "hostIP": "192.0.2.1",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": service, "namespace": "ray", "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": service}]},
        "status": status,
    }


class Cluster:
    """The API, the controllers, the back ends, and processes that stand for pods.

    Attributes:
        serves: whether the model is ever ready.
        spares: services that no fault is injected into, whoever asks.
        load_ends: whether the load ends by itself, else it dies.
        away_s: how long the API is away when a load has begun.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.serves, self.load_ends, self.away_s = True, True, 0
        self.spares: set[str] = set()
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
            (("observability", "otel-collector-files"), "spans"),
            (("ray", "llm-head-svc"), "ray"),
            *((("ray", service), f"pod/{service}") for service in SERVICES),
        ):
            self.api.proxied[place] = f"{self.back_ends.url}/{part}"
        self.inventory = folder / "inventory"
        shutil.copytree(ANSIBLE.parent / "inventories" / "example-cluster", self.inventory)
        warm(self.inventory)
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
            if method != "DELETE" and self.serves:
                self.ready(item)
        if kind in ("StressChaos", "NetworkChaos"):
            self.fault(method, about["name"], item)
        if kind == "Job" and about["name"] == "load":
            if method == "POST":
                self.load(item)
            elif method == "DELETE":
                self.processes[-1].terminate()

    def ready(self, item: Object) -> None:
        """What KubeRay says once every replica is ready, with the token that it made."""
        status = {
            **condition("Ready")["status"],
            "activeServiceStatus": {"rayClusterName": "llm-x"},
        }
        self.api.put({**item, "status": status})
        about = {"name": "llm-x", "namespace": "ray"}
        token = {"auth_token": base64.b64encode(b"known").decode()}
        self.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": token})

    def fault(self, method: str, name: str, item: Object) -> None:
        target = item["spec"]["selector"]["labelSelectors"]["rca-llm/service"]
        if method == "DELETE" and name in self.faults:
            begin, _ = self.faults.pop(name)
            self.back_ends.history.append((begin, time.time(), target))
        elif method != "DELETE" and name not in self.faults and target not in self.spares:
            self.faults[name] = (time.time(), target)
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            event = {"operation": "Apply", "type": "Succeeded", "timestamp": at}
            records = {"containerRecords": [{"events": [event]}]}
            status = {**condition("AllInjected")["status"], "experiment": records}
            self.api.put({**item, "status": status})

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
        if not self.load_ends:
            program = [*program[: mark + 1], "sh", "-c", "sleep 2; echo out of memory; exit 1"]
        runner = [sys.executable, str(FILES / "load_runner.py"), f"--out={out}", f"--port={port}"]
        self.start([*runner, *program[mark:]])
        self.api.proxied["load", "load-0"] = f"http://127.0.0.1:{port}"
        if self.away_s:
            threading.Thread(target=self.go_away, args=[out], daemon=True).start()

    def go_away(self, begun: Path) -> None:
        while not begun.exists():
            time.sleep(0.1)
        self.api.down = True
        time.sleep(self.away_s)
        self.api.down = False

    def complete(self) -> set[str]:
        """The cases that are complete and good enough."""
        folders = [path for path in (self.run / "cases").iterdir() if is_complete(path)]
        for path in folders:
            quality = json.loads((path / "case.json").read_text())["quality"]
            assert quality["status"] == "accepted", quality["reasons"]
        return {path.name for path in folders}

    def left(self) -> list[Object]:
        """What an experiment must not leave behind, and no fault in any case."""
        assert not self.faults
        assert not list((self.inventory / ".cache" / "faults").glob("*"))
        kinds = ("RayService", "Job", "StressChaos", "NetworkChaos")
        return [item for kind in kinds for item in self.api.of_kind(kind)]

    def play(self, tags: str = "all", **variables: Any) -> tuple[int, str]:
        """Execute steps of the experiment; returns the status and what was printed, in one line."""
        given = {
            "experiment": "smoke",
            "experiment_windows": {"warmup": 0, "normal": 10, "fault": 5, "after": 0},
            "experiment_run_dir": str(self.run),
            "experiment_methods": "baro,nsigma,constant",
            "experiment_steady_patience_s": 2,
            "experiment_slack_s": 0,
            "experiment_failed_load_s": 1,
            "model_interval_s": 1,
            "model_image": f"image@sha256:{'0' * 64}",
            "load_image": "image@sha256:0",
            "checksums": {"models": {}},
            **variables,
        }
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory)]
        done = subprocess.run(
            [*command, "execute-experiment.yaml", f"--tags={tags}", "-e", json.dumps(given)],
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=1800,
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
def test_one_case_step_by_step(cluster: Cluster) -> None:
    def play_alone(step: str) -> tuple[int, str]:
        few = {"limit_cases": 1, "experiment_most_failures_in_a_row": 1}
        return cluster.play(step, experiment_steady_patience_s=10, **few)

    status, printed = play_alone("collect-telemetry-data")
    assert status != 0
    assert f"1 cases in a row failed, the run ends: {FIRST}: " in printed, printed[-4000:]
    assert "recorded first, with --tags benchmark" in printed
    cluster.away_s = 5
    for step in ("deploy", "benchmark", "collect-telemetry-data", "evaluate", "delete"):
        status, printed = play_alone(step)
        assert status == 0, step + printed[-4000:]
    assert cluster.complete() == {FIRST}
    assert not list((cluster.run / "failed").iterdir())
    assert not cluster.left()
    assert (cluster.run / "evaluation" / "leaderboard.csv").exists()
    traces = pd.read_parquet(cluster.run / "cases" / FIRST / "traces.parquet")
    assert set(SERVICES) < set(traces["serviceName"])  # from the collector's files; and the client
    truth = json.loads((cluster.run / "cases" / FIRST / "injection.json").read_text())
    assert (truth["service"], truth["fault"]) == ("ray-replicas-1", "cpu")
    assert truth["evidence"]["mechanism"] == "StressChaos"
    placement = yaml.safe_load((cluster.run / "work" / FIRST / "placement.json").read_text())
    assert placement["ray-replicas-1"]["gpus"] == [GPUS["ray-replicas-1"]]
    environment = json.loads((cluster.run / "cases" / FIRST / "environment.json").read_text())
    assert [node["name"] for node in environment["cluster"]["nodes"]] == ["node-1"]


@pytest.mark.slow
def test_a_case_that_fails_is_kept_apart_and_tried_again(cluster: Cluster) -> None:
    def failed() -> tuple[str, set[str]]:
        """The reason of the case that failed, and what was kept of it."""
        folder = cluster.run / "failed"
        reason = json.loads((folder / f"{FIRST}.json").read_text())
        assert set(reason) == {"case", "task", "reason", "at"}
        assert {path.name for path in folder.iterdir()} == {FIRST, f"{FIRST}.json"}
        return reason["reason"], {path.name for path in (folder / FIRST).iterdir()}

    cluster.spares = {"ray-replicas-1"}
    status, printed = cluster.play(chaos_making_timeout_s=5)
    assert status != 0
    reason, kept = failed()
    assert "StressChaos" in reason
    assert f"1 of 2 cases failed: {FIRST}: {reason}" in printed, printed[-4000:]
    assert {"placement.json", "environment.json", "window.json"} <= kept
    assert cluster.complete() == {SECOND}
    assert not cluster.left()
    assert (cluster.run / "evaluation" / "leaderboard.csv").exists()

    cluster.spares, cluster.load_ends = set(), False
    before = (cluster.run / "cases" / SECOND / "case.json").stat()
    status, printed = cluster.play("deploy,benchmark,evaluate,delete")
    assert status != 0
    reason, kept = failed()
    assert "the load failed: out of memory" in reason
    assert f"1 of 1 cases failed: {FIRST}: {reason}" in printed, printed[-4000:]
    assert {"placement.json", "injection.json", "window.json"} <= kept
    assert (cluster.run / "cases" / SECOND / "case.json").stat() == before
    assert not cluster.left()


@pytest.mark.slow
def test_a_model_that_is_never_ready_is_taken_away_again(cluster: Cluster) -> None:
    cluster.serves = False
    status, printed = cluster.play(model_ready_timeout_cluster_s=1)
    assert status != 0
    message = (
        "the stack was not deployed: Wait until every replica is ready: the model is not served"
    )
    assert message in printed, printed[-4000:]
    assert not cluster.left()
    assert [pod["metadata"]["name"] for pod in cluster.api.of_kind("Pod")] == ["nginx-proxy"]
