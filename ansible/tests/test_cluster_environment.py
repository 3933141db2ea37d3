"""The description of a cluster: nodes, images by digest, Helm releases without their secrets."""

import base64
import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_api import ClusterApi

Run = Callable[..., subprocess.CompletedProcess[str]]
PRIVATE = "correct horse battery staple"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterApi]:
    """A cluster with a node, a release and a pod, and another release in another namespace."""
    api = ClusterApi(lambda _api, _method, _item: None)
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
    labels = {
        "kubernetes.io/hostname": "node-1",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/cuda.driver-version.full": "580.82.07",
    }
    about = {
        "kernelVersion": "6.8.0",
        "kubeletVersion": "v1.36.2+k3s1",
        "containerRuntimeVersion": "containerd://2.1.4-k3s1",
    }
    status = {"nodeInfo": about, "capacity": {"cpu": "64", "nvidia.com/gpu": "8"}}
    metadata = {"name": "node-1", "labels": labels}
    api.put({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
    container = {"name": "nginx", "image": "nginx:1.30", "imageID": "nginx@sha256:abc"}
    for namespace in ("ray", "default"):
        where = {"name": f"{namespace}-pod", "namespace": namespace}
        ran = {"containerStatuses": [container]}
        api.put({"apiVersion": "v1", "kind": "Pod", "metadata": where, "status": ran})
        install(api, namespace, {"password": PRIVATE})
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {**where, "name": "new"}, "status": {}})
    yield api
    api.server.shutdown()
    api.server.server_close()


def install(
    api: ClusterApi, namespace: str, values: dict[str, Any], status: str = "deployed"
) -> None:
    """Keep a release as Helm does."""
    chart = {"metadata": {"name": "kuberay-operator", "version": "1.7.0"}}
    kept = json.dumps({"name": "operator", "chart": chart, "config": values}).encode()
    text = base64.b64encode(base64.b64encode(gzip.compress(kept))).decode()
    labels = {"owner": "helm", "name": "operator", "status": status}
    name = f"sh.helm.release.v1.operator.{status}"
    about = {"name": name, "namespace": namespace, "labels": labels}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": {"release": text}})


def test_nodes_images_and_releases_are_described(api: ClusterApi, run_program: Run) -> None:
    install(api, "ray", {"password": "older"}, status="superseded")
    done = run_program("cluster_environment", "--namespaces=ray,observability")
    assert (done.returncode, done.stderr) == (0, "")
    described = json.loads(done.stdout)
    (release,) = described.pop("helm_releases")
    assert len(release.pop("values_sha256")) == 64
    assert release == {
        "namespace": "ray",
        "name": "operator",
        "chart": "kuberay-operator",
        "version": "1.7.0",
    }
    assert described == {
        "kubernetes": "v1.36.2+k3s1",
        "nodes": [
            {
                "name": "node-1",
                "kernel": "6.8.0",
                "kubelet": "v1.36.2+k3s1",
                "container_runtime": "containerd://2.1.4-k3s1",
                "gpus": 8,
                "gpu_labels": {
                    "nvidia.com/cuda.driver-version.full": "580.82.07",
                    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
                },
            }
        ],
        "images": [
            {
                "namespace": "ray",
                "pod": "ray-pod",
                "container": "nginx",
                "image": "nginx:1.30",
                "image_id": "nginx@sha256:abc",
            }
        ],
    }
    assert PRIVATE not in done.stdout


def test_other_values_have_another_hash(api: ClusterApi, run_program: Run) -> None:
    hashes = []
    for values in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}):
        install(api, "ray", values)
        described = json.loads(run_program("cluster_environment", "--namespaces=ray").stdout)
        hashes.append(described["helm_releases"][0]["values_sha256"])
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_what_goes_wrong_is_one_line(api: ClusterApi, run_program: Run) -> None:
    where = {"name": "sh.helm.release.v1.operator.deployed", "namespace": "ray"}
    api.put({"kind": "Secret", "metadata": where, "data": {"release": "bm9uZQ=="}})
    broken = run_program("cluster_environment", "--namespaces=ray")
    assert broken.returncode == 1
    assert broken.stderr == "secret ray/sh.helm.release.v1.operator.deployed: no release\n"
    api.down = True
    away = run_program("cluster_environment", "--namespaces=ray")
    assert away.returncode == 1
    assert away.stderr.startswith("the cluster does not answer: ")
    assert away.stderr.count("\n") == 1
