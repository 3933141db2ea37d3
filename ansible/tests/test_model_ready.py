"""A model that is not served on a cluster: what is refused at once, what is said in the end."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_api import ClusterApi

ANSIBLE = Path(__file__).resolve().parents[1]
PHI = yaml.safe_load((ANSIBLE / "configs/models/phi-4.yaml").read_text())
RunProgram = Callable[..., subprocess.CompletedProcess[str]]


class Cluster:
    """An API server with a RayService that is not ready; nobody acts on it."""

    def __init__(self, folder: Path) -> None:
        self.api = ClusterApi(lambda *_: None)
        self.kubeconfig = self.api.kubeconfig(folder / "kubeconfig")
        self.api.kinds["ray.io/v1", "rayservices"] = ("RayService", True)
        self.put("RayService", "llm", {"conditions": [self.condition("Ready", "False")]})

    def condition(self, kind: str, status: str, message: str = "") -> dict[str, str]:
        return {"type": kind, "status": status, "reason": "Initializing", "message": message}

    def put(self, kind: str, name: str, status: dict[str, Any], **more: Any) -> None:
        about = {"name": name, "namespace": "ray"}
        self.api.put({"kind": kind, "metadata": about, "status": status, **more})

    def pod(self, service: str, *conditions: dict[str, str], **container: Any) -> None:
        """A pod of a service, whose one container is not ready unless a condition says so."""
        started = {"name": service, "ready": False, "image": "", "imageID": "", "restartCount": 0}
        status: dict[str, Any] = {"phase": "Pending", "conditions": list(conditions)}
        if container:
            status["containerStatuses"] = [started | container]
        self.put("Pod", f"llm-{service}", status, spec={"containers": [{"name": service}]})
        labels = {"ray.io/cluster": "llm-x", "rca-llm/service": service}
        self.api.objects["Pod", "ray", f"llm-{service}"]["metadata"]["labels"] = labels

    def warn(self, pod: str, at: str, reason: str, message: str) -> None:
        """Something that happened to a pod."""
        about = {"involvedObject": {"kind": "Pod", "name": pod}, "lastTimestamp": at}
        said = {"type": "Warning", "reason": reason, "message": message}
        self.put("Event", f"{pod}.{at[:4]}", {}, **about, **said)

    def wait(self, run: RunProgram, timeout_s: float = 0) -> subprocess.CompletedProcess[str]:
        given = ("--namespace=ray", f"--timeout={timeout_s}", "--interval=0.05")
        return run("ready", *given, prefix=("env", f"KUBECONFIG={self.kubeconfig}"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.api.server.shutdown()
    cluster.api.server.server_close()


def test_a_model_that_becomes_ready_is_waited_for(
    cluster: Cluster, run_program: RunProgram
) -> None:
    ready = {"conditions": [cluster.condition("Ready", "True")]}
    timer = threading.Timer(1, cluster.put, ("RayService", "llm", ready))
    timer.start()
    done = cluster.wait(run_program, 60)
    assert (done.returncode, done.stderr) == (0, "")
    timer.join()


def test_each_pod_that_is_not_ready_is_named_with_its_reason(
    cluster: Cluster, run_program: RunProgram
) -> None:
    insufficient = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    cluster.pod("ray-head", cluster.condition("Ready", "True"))
    cluster.pod("ray-replicas-0", cluster.condition("PodScheduled", "False", insufficient))
    cluster.warn("llm-ray-replicas-0", "2026-01-01T00:00:00Z", "FailedScheduling", insufficient)
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling\nimage"}
    cluster.pod("ray-replicas-1", state={"waiting": waiting})
    cluster.warn("llm-ray-replicas-1", "2026-01-02T00:00:00Z", "Failed", "no such host")
    cluster.warn("llm-ray-replicas-1", "2025-01-01T00:00:00Z", "Old", "another trouble")
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    cluster.pod("ray-replicas-2", state=crash, lastState=killed)
    done = cluster.wait(run_program)
    assert done.returncode == 1
    assert done.stderr == (
        "the model is not served after 0 s: "
        f"ray-replicas-0 is Pending (Initializing: {insufficient}); "
        "ray-replicas-1 is Pending (ImagePullBackOff: Back-off pulling image, "
        "Failed: no such host); ray-replicas-2 is Pending (CrashLoopBackOff, "
        "ended with OOMKilled, exit code 137); Initializing\n"
    )


def test_what_serve_says_is_told_where_the_pods_are_ready(
    cluster: Cluster, run_program: RunProgram
) -> None:
    cluster.pod("ray-head", cluster.condition("Ready", "True"))
    failed = {"status": "DEPLOY_FAILED", "message": "x" * 1000 + "\nCUDA out of memory"}
    status = {"pendingServiceStatus": {"applicationStatuses": {"llm": failed}}}
    cluster.put("RayService", "llm", status)
    said = cluster.wait(run_program).stderr
    assert said.startswith("the model is not served after 0 s: Serve is DEPLOY_FAILED: xxx")
    assert said.endswith("x CUDA out of memory\n")
    assert len(said) < 500


def test_a_service_without_pods_or_gone_is_said(cluster: Cluster, run_program: RunProgram) -> None:
    cluster.warn("llm-x", "2026-01-01T00:00:00Z", "FailedCreate", "exceeded quota")
    said = cluster.wait(run_program).stderr
    assert "it has no pod; FailedCreate: exceeded quota; Initializing" in said
    cluster.api.delete("RayService", "llm", "ray")
    done = cluster.wait(run_program, 60)
    assert done.returncode == 1
    assert done.stderr == "RayService llm is gone from namespace ray: somebody deleted it\n"


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: model}
"""
ONE = {"data": 1, "tensor": 1, "pipeline": 1, "head_serves": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "different", "message"),
    [
        (
            "24576",
            {"model_image": "serving:1"},
            'model_image is "serving:1", not an image with its',
        ),
        (
            "24576",
            {"model_revision": "main"},
            "no commit of microsoft/phi-4 is pinned; run: versions",
        ),
        ("", {}, "no node has the label nvidia.com/gpu.memory"),
        (
            "24576",
            {},
            "phi-4 take 27.4 GiB, and of 1 GPUs with at most 24576 MiB vLLM takes 22.1 GiB",
        ),
        # Two of them are enough.
        (
            "24576",
            {"model_parallelism": {**ONE, "tensor": 2}},
            "not served after 0 s: it has no pod",
        ),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    cluster: Cluster, tmp_path: Path, memory: str, different: dict[str, Any], message: str
) -> None:
    labels = {"nvidia.com/gpu.memory": memory} if memory else {}
    cluster.api.put({"kind": "Node", "metadata": {"name": "gpu-1", "labels": labels}})
    cluster.api.put({"kind": "Namespace", "metadata": {"name": "ray"}})
    cluster.api.delete("RayService", "llm", "ray")
    given = {
        **PHI,
        "ansible_python_interpreter": sys.executable,
        "platform": "kubernetes",
        "cluster_kubeconfig": str(cluster.kubeconfig),
        "model_image": f"registry.example/serving@sha256:{'0' * 64}",
        "model_revision": "0" * 40,
        "model_parallelism": ONE,
        "model_programs": str(ANSIBLE / "roles/model/files"),
        "model_ready_timeout_cluster_s": 0,
        **different,
    }
    playbook = tmp_path / "play.yaml"
    playbook.write_text(PLAY)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,"]
    done = subprocess.run(
        [*command, "-c", "local", "-e", json.dumps(given), str(playbook)],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    printed = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert message in printed, printed[-2000:]
    served = cluster.api.get("RayService", "llm", "ray") is not None
    assert served == ("not served" in message)
