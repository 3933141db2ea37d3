"""The check of where a served model is: pods, GPUs, replicas, and what is said of what is wrong."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cluster_api import ClusterApi, Object
from cluster_back_ends import ADDRESSES, BackEnds


@pytest.fixture
def placement(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("placement")


def place(node: str, address: str, *gpus: str) -> dict[str, object]:
    found = {"node": node, "address": address, "pod": f"pod-{address}"}
    return found | ({"gpus": list(gpus)} if gpus else {})


GOOD = {
    "nginx-proxy": place("a", "10.0.0.1"),
    "ray-head": place("a", "10.0.0.2"),
    "ray-replicas-0": place("a", "10.0.0.3", "GPU-1"),
    "ray-replicas-1": place("b", "10.0.0.4", "GPU-2"),
}


def test_pods_with_gpus_of_their_own_are_right(placement: ModuleType) -> None:
    assert placement.wrong_gpus(GOOD, pods=2, gpus=1) == []


def test_gpus_that_are_not_as_the_experiment_says_are_named(placement: ModuleType) -> None:
    assert placement.wrong_gpus(GOOD, pods=3, gpus=1) == [
        "2 pods have GPUs, not 3: ray-replicas-0, ray-replicas-1"
    ]
    assert placement.wrong_gpus(GOOD, pods=2, gpus=2) == [
        "ray-replicas-0 on a has 1 GPUs, not 2",
        "ray-replicas-1 on b has 1 GPUs, not 2",
    ]
    shared = {**GOOD, "ray-replicas-1": place("b", "10.0.0.4", "GPU-1")}
    assert placement.wrong_gpus(shared, pods=2, gpus=1) == ["GPU GPU-1 is held by 2 pods"]
    none = {"ray-head": place("a", "10.0.0.2")}
    assert placement.wrong_gpus(none, pods=1, gpus=1) == ["0 pods have GPUs, not 1: none"]


@pytest.mark.parametrize(
    ("replicas", "data", "pipeline", "lines"),
    [
        ({"a": {"10.0.0.3"}, "b": {"10.0.0.4"}}, 2, 1, []),
        ({"a": {"10.0.0.3", "10.0.0.4"}}, 1, 2, []),
        ({"a": {"10.0.0.3"}}, 2, 1, ["1 replicas run, not 2"]),
        ({"a": {"10.0.0.3"}, "b": {"10.0.0.3"}}, 2, 1, ["ray-replicas-0 holds 2 replicas"]),
        (
            {"a": {"10.0.0.3"}, "b": {"10.0.0.9"}},
            2,
            1,
            ["replica b is in 10.0.0.9, which is no pod with GPUs"],
        ),
        (
            {"a": {"10.0.0.2"}},
            1,
            1,
            ["replica a is in ray-head, which is no pod with GPUs"],
        ),
        ({"a": {"10.0.0.3"}}, 1, 2, ["replica a is in 1 pods, not 2: ray-replicas-0"]),
    ],
)
def test_replicas_have_to_be_in_pods_of_their_own(
    placement: ModuleType,
    replicas: dict[str, set[str]],
    data: int,
    pipeline: int,
    lines: list[str],
) -> None:
    assert placement.wrong_replicas(GOOD, replicas, data, pipeline) == lines


class Stack:
    """A stack of two replicas on an API server that is played, with its Prometheus and Ray."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.api = folder, ClusterApi(lambda *_: None)
        self.back_ends = BackEnds(lambda _: False)
        self.api.kinds["ray.io/v1", "rayservices"] = ("RayService", True)
        for service, address in ADDRESSES.items():
            labels = {"rca-llm/service": service}
            self.put("Pod", service, labels, phase="Running", podIP=address, hostIP="192.0.2.1")
        self.put("RayService", "llm", {}, activeServiceStatus={"rayClusterName": "llm-x"})
        self.put("Secret", "llm-x", {})
        token = base64.b64encode(b"known").decode()
        self.api.objects["Secret", "ray", "llm-x"]["data"] = {"auth_token": token}
        url = self.back_ends.url
        prometheus = ("observability", "kube-prometheus-stack-prometheus")
        self.api.proxied = {prometheus: f"{url}/prometheus", ("ray", "llm-head-svc"): f"{url}/ray"}

    def put(self, kind: str, name: str, labels: dict[str, str], **status: Any) -> None:
        about = {"name": name, "namespace": "ray", "labels": labels}
        item: Object = {"kind": kind, "metadata": about, "status": status}
        self.api.put(item | {"spec": {"nodeName": "node-1", "containers": [{"name": name}]}})

    def look(self, run: Callable[..., subprocess.CompletedProcess[str]], pipeline: int = 1) -> Any:
        return run(
            "placement",
            "--namespace=ray",
            "--prometheus=k8s://observability/kube-prometheus-stack-prometheus:9090",
            f"--data={2 // pipeline}",
            "--tensor=1",
            f"--pipeline={pipeline}",
            "--timeout=0",
            "--interval=0",
            prefix=("env", f"KUBECONFIG={self.api.kubeconfig(self.folder / 'kubeconfig')}"),
        )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    for server in (stack.api.server, stack.back_ends.server):
        server.shutdown()
        server.server_close()


RunProgram = Callable[..., subprocess.CompletedProcess[str]]


def test_each_pod_is_given_with_its_replica(stack: Stack, run_program: RunProgram) -> None:
    done = stack.look(run_program)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ray-replicas-1"] == {
        "address": ADDRESSES["ray-replicas-1"],
        "node": "node-1",
        "node_address": "192.0.2.1",
        "pod": "ray-replicas-1",
        "gpus": ["GPU-1"],
        "replica": "replica-1",
    }
    assert "replica" not in found["ray-head"]


def test_the_stages_of_a_replica_are_found(stack: Stack, run_program: RunProgram) -> None:
    stack.back_ends.replicas = ["ray-replicas-0"]
    stack.back_ends.workers = ["ray-replicas-0", "ray-replicas-1"]
    done = stack.look(run_program, pipeline=2)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ray-replicas-0"]["replica"] == found["ray-replicas-1"]["replica"] == "replica-0"


def test_what_is_wrong_is_said_in_one_line(stack: Stack, run_program: RunProgram) -> None:
    stack.back_ends.replicas = ["ray-replicas-0", "ray-replicas-0"]
    done = stack.look(run_program)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ray-replicas-0 holds 2 replicas\n"
    stack.back_ends.ray_takes = "Bearer another"
    assert "query 'replicas' was answered by HTTP 401" in stack.look(run_program).stderr
    stack.api.delete("Secret", "llm-x", "ray")
    said = stack.look(run_program).stderr
    assert said == "namespace ray: no secret llm-x, which holds Ray's token\n"
