"""The cluster's playbooks against a small API server, with a stand-in for helm."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_api import crd
from played_cluster import ANSIBLE, BRINGS, INVENTORIES, TOOLS, Cluster, node

CONTAINERD = "agent/etc/containerd/config.toml"
STRESS = {  # of a run that was killed
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "StressChaos",
    "metadata": {
        "name": "left-over",
        "namespace": "ray",
        "labels": {"rca-llm/fault": "cpu"},
        "annotations": {"rca-llm/run": "killed"},
        "finalizers": ["chaos-mesh/records"],
    },
}

SCORING = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "metadata": {"name": "evaluation", "namespace": "ray"},
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


OBSERVABILITY = {
    "cilium": "kube-system",
    "kube-prometheus-stack": "observability",
    "istio-base": "istio-system",
    "istiod": "istio-system",
    "istio-cni": "istio-system",
    "istio-ztunnel": "istio-system",
    "loki": "observability",
    "deepflow": "deepflow",
    "opentelemetry-operator": "observability",
    "opentelemetry-collector": "node-agents",
}
REST = {"gpu-operator": "gpu-operator", "kuberay-operator": "kuberay", "chaos-mesh": "chaos-mesh"}
HERE = ("--limit", "localhost")  # the machines are not there


@pytest.mark.slow
def test_everything_is_installed_once_and_removed_again(cluster: Cluster) -> None:
    status, printed = cluster.play("install-cluster.yaml", "--check", "--diff", *HERE)
    assert status == 0, printed[-3000:]
    assert "needs what install-observability.yaml brings: a network for node-1" in printed
    assert "would be made: PodMonitor ray, PodMonitor waypoint" in printed
    assert "CiliumNetworkPolicy from-api-and-nodes" in printed
    assert all(dry for *_, dry in cluster.api.log)
    assert cluster.releases() == {}

    for again in (False, True):
        writes = len(cluster.api.log)
        status, printed = cluster.play("install-cluster.yaml", *HERE, k3s_data_dir="/disk/k3s")
        assert status == 0, printed[-3000:]
        assert ("changed=0" in printed) == again, printed[-3000:]
    assert {method for method, *_ in cluster.api.log[writes:]} <= {"PATCH"}
    assert cluster.releases() == {**OBSERVABILITY, **REST}
    assert cluster.api.get("Deployment", "nginx-proxy", "ray")
    assert cluster.values("deepflow")["global"]["password"]["mysql"] == "two"
    assert {"name": "CONTAINERD_CONFIG", "value": f"/disk/k3s/{CONTAINERD}"} in cluster.values(
        "gpu-operator"
    )["toolkit"]["env"]

    cluster.api.put(STRESS)
    cluster.api.put(SCORING)
    status, printed = cluster.play("uninstall.yaml", really="yes")
    assert status != 0
    assert "RayJob evaluation in namespace ray still runs on Ray" in printed
    cluster.api.delete("RayJob", "evaluation", "ray")
    status, printed = cluster.play("uninstall.yaml", really="no")
    assert status != 0
    assert "nothing was removed" in printed
    assert cluster.releases() == {**OBSERVABILITY, **REST}
    writes = len(cluster.api.log)
    status, printed = cluster.play("uninstall.yaml", really="yes")
    assert status == 0, printed[-3000:]
    assert cluster.releases() == {}
    assert cluster.left() == set()
    removed = [name for method, _, name, _ in cluster.api.log[writes:] if method == "DELETE"]
    assert removed.index("left-over") < removed.index("sh.helm.release.v1.chaos-mesh")


@pytest.mark.slow
def test_what_is_there_only_in_part_is_removed_as_often_as_one_likes(cluster: Cluster) -> None:
    status, printed = cluster.play("install-observability.yaml", "--tags", "cilium")
    assert status == 0, printed[-3000:]
    foreign = crd(*BRINGS["gateway-api"][0])
    cluster.api.put(foreign)
    before = cluster.releases()
    status, printed = cluster.play("uninstall-cluster.yaml", "--check")
    assert status == 0, printed[-3000:]
    assert cluster.releases() == before
    for _ in range(2):
        status, printed = cluster.play("uninstall-cluster.yaml", really="yes")
        assert status == 0, printed[-3000:]
        assert cluster.releases() == {}
        assert cluster.left() == {foreign["metadata"]["name"]}


def without_vault(cluster: Cluster) -> None:
    cluster.vault.unlink()


def without_kubeconfig(cluster: Cluster) -> None:
    (cluster.inventory / ".secrets" / "kubeconfig").unlink()


def without_an_answer(cluster: Cluster) -> None:
    cluster.api.down = True


def with_an_old_version(cluster: Cluster) -> None:
    cluster.api.version = "v1.29.7+k3s1"


def with_an_old_kernel(cluster: Cluster) -> None:
    cluster.api.put({**node("node-1", "True"), "status": {"nodeInfo": {"kernelVersion": "4.18.0"}}})


def without_checksums(cluster: Cluster) -> None:
    cluster.variables["checksums"] = {}


def with_ready_nodes(cluster: Cluster) -> None:
    for name in ("node-1", "node-2"):
        cluster.api.put(node(name, "True"))


def without_volumes(cluster: Cluster) -> None:
    cluster.api.delete("StorageClass", "local-path")


def with_accounts_in_clear(cluster: Cluster) -> None:
    cluster.variables["vault_proxy_accounts"] = "admin:secret"


def without_accounts(cluster: Cluster) -> None:
    cluster.variables["vault_proxy_accounts"] = ""


def without_the_digest_of_an_image(cluster: Cluster) -> None:
    del cluster.variables["checksums"]["nginx"]


def on_this_machine(cluster: Cluster) -> None:
    cluster.variables["ansible_connection"] = "local"
    python = cluster.inventory / "group_vars" / "all" / "python.yaml"
    python.write_text(f"ansible_python_interpreter: {sys.executable}\n")


def with_a_gpu_without_a_driver(cluster: Cluster) -> None:
    on_this_machine(cluster)
    program = cluster.folder / "gpus"
    program.write_text("""#!/bin/sh\necho '{"gpus": 2, "driver": null}'\n""")
    program.chmod(0o755)
    node_2 = cluster.inventory / "host_vars" / "node-2.yaml"
    node_2.write_text(f"ansible_python_interpreter: {program}\n")


@pytest.mark.parametrize(
    ("prepare", "playbook", "message"),
    [
        (
            without_vault,
            "install-observability.yaml",
            "vault_grafana_password is not set: copy vault.example.yaml",
        ),
        (without_kubeconfig, "install-observability.yaml", "run install-k3s.yaml, or let"),
        (without_an_answer, "install-observability.yaml", "cannot be used:"),
        (with_an_old_version, "install-observability.yaml", "runs Kubernetes 1.29.7, older than"),
        (with_an_old_kernel, "install-observability.yaml", "node-1 has amd64 and kernel 4.18.0"),
        (
            without_checksums,
            "install-observability.yaml",
            "is pinned; run: versions.py lock",
        ),
        (
            without_volumes,
            "install-observability.yaml",
            "the cluster has no StorageClass local-path",
        ),
        (Cluster.releases, "install-ray.yaml", "not ready: node-1, node-2; if they never were"),
        (
            with_ready_nodes,
            "install-ray.yaml",
            "has no servicemonitors.monitoring.coreos.com, gateways.gateway.networking.k8s.io; run",
        ),
        (with_accounts_in_clear, "install-cluster.yaml", "with a hash from: openssl passwd -6"),
        (without_accounts, "install-cluster.yaml", "vault_proxy_accounts is not set: copy"),
        (
            without_the_digest_of_an_image,
            "install-cluster.yaml",
            "no checksum is pinned of nginx; run: versions.py lock",
        ),
        (on_this_machine, "install-nvidia-operator.yaml", "node-4 has an NVIDIA GPU"),
        (
            with_a_gpu_without_a_driver,
            "install-nvidia-operator.yaml",
            "node-2 has 2 GPUs and no NVIDIA driver: install one",
        ),
    ],
)
def test_what_is_missing_is_said_before_anything_is_changed(
    cluster: Cluster, prepare: Callable[[Cluster], object], playbook: str, message: str
) -> None:
    prepare(cluster)
    status, printed = cluster.play(playbook)
    assert status != 0
    assert message in printed, printed[-3000:]
    assert cluster.releases() in ({}, {"cilium": "kube-system"})


def test_a_cluster_with_another_network_gets_no_policies_of_cilium(cluster: Cluster) -> None:
    with_ready_nodes(cluster)
    status, printed = cluster.play("install-chaos-mesh.yaml")
    assert status == 0, printed[-3000:]
    assert cluster.releases() == {"chaos-mesh": "chaos-mesh"}
    assert cluster.api.get("NetworkPolicy", "who-may-come-in", "chaos-mesh")


@pytest.mark.parametrize("inventory", sorted(path.name for path in INVENTORIES.iterdir()))
def test_every_playbook_can_be_read_with_every_inventory(inventory: str) -> None:
    playbooks = sorted(path.name for path in ANSIBLE.glob("*.yaml"))
    assert len(playbooks) > 10
    command = [
        str(TOOLS / "ansible-playbook"),
        "--syntax-check",
        "-i",
        str(INVENTORIES / inventory),
    ]
    done = subprocess.run([*command, *playbooks], cwd=ANSIBLE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    foreign = "Could not match supplied host pattern"  # this platform has no such machines
    assert [x for x in done.stderr.splitlines() if "WARNING" in x and foreign not in x] == []
