"""The cluster's playbooks against a small API server, with a stand-in for helm.

What the charts would bring (custom resources, controllers, nodes that become ready) is played here.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_api import ClusterApi, Object

ANSIBLE = Path(__file__).resolve().parents[1]
INVENTORIES = ANSIBLE.parent / "inventories"
TOOLS = Path(sys.executable).parent
CHARTS = yaml.safe_load((ANSIBLE / "configs" / "versions.yaml").read_text())["charts"]
BRINGS = {  # release -> group, version, kind, plural
    "cilium": [
        ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies"),
        ("cilium.io", "v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"),
    ],
    "kube-prometheus-stack": [
        ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
        ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
        ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
    ],
    "istio-base": [
        ("telemetry.istio.io", "v1", "Telemetry", "telemetries"),
        ("security.istio.io", "v1", "PeerAuthentication", "peerauthentications"),
    ],
    "opentelemetry-operator": [
        ("opentelemetry.io", "v1beta1", "OpenTelemetryCollector", "opentelemetrycollectors")
    ],
    "kuberay-operator": [("ray.io", "v1", "RayService", "rayservices")],
    "chaos-mesh": [("chaos-mesh.org", "v1alpha1", "StressChaos", "stresschaos")],
    "gateway-api": [("gateway.networking.k8s.io", "v1", "Gateway", "gateways")],
}


def crd(group: str, version: str, kind: str, plural: str) -> Object:
    scope = "Cluster" if "Clusterwide" in kind else "Namespaced"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version}],
        },
    }


def condition(kind: str, value: str = "True") -> Object:
    return {"status": {"conditions": [{"type": kind, "status": value}]}}


def node(name: str, ready: str) -> Object:
    info = {"architecture": "amd64", "kernelVersion": "6.8.0-31-generic"}
    about = {"name": name, "labels": {"nvidia.com/gpu.present": "true"}}
    status = {**condition("Ready", ready)["status"], "nodeInfo": info, "allocatable": {}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": about, "status": status}


def react(api: ClusterApi, method: str, item: Object) -> None:
    """What the controllers of a real cluster would do about a change."""
    about, kind = item["metadata"], item["kind"]
    if method == "DELETE":
        return
    if kind == "Deployment":
        api.put({**item, **condition("Available")})
    if kind == "Gateway":
        api.put({**item, **condition("Programmed")})
    if kind == "OpenTelemetryCollector":
        named = {"name": f"{about['name']}-collector", "namespace": about["namespace"]}
        made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named}
        api.put({**made, **condition("Available")})
    release = about["name"].removeprefix("sh.helm.release.v1.")
    if kind == "Secret" and release != about["name"]:
        for resource in BRINGS.get(release, []):
            api.put(crd(*resource))
        for machine in api.of_kind("Node"):
            if release == "cilium":
                api.put(node(machine["metadata"]["name"], "True"))
            if release == "gpu-operator":
                api.put({**machine, "status": {"allocatable": {"nvidia.com/gpu": "8"}}})


def archive(path: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Write a tar archive; returns its address and checksum."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return {"url": path.as_uri(), "all": hashlib.sha256(path.read_bytes()).hexdigest()}


class Cluster:
    """A cluster that is not there, and an inventory that leads to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api = ClusterApi(react)
        for name in ("node-1", "node-2"):
            self.api.put(node(name, "False"))
        self.api.put(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": "local-path"},
            }
        )
        self.inventory = folder / "inventory"
        shutil.copytree(INVENTORIES / "example-cluster", self.inventory)
        (self.inventory / ".secrets").mkdir()
        self.api.kubeconfig(self.inventory / ".secrets" / "kubeconfig")
        self.vault = self.inventory / "group_vars" / "all" / "vault.yaml"
        secrets = {
            "vault_grafana_password": "one",
            "vault_deepflow_password": "two",
            "vault_proxy_accounts": "admin:$6$salt$hash",
        }
        self.vault.write_text(yaml.safe_dump(secrets))
        self.variables = self._downloads()

    def _downloads(self) -> dict[str, Any]:
        """Charts, helm and the Gateway API as files, with their true checksums."""
        checksums: dict[str, Any] = {"nginx": {"all": "0" * 64}}
        for name, about in CHARTS.items():
            chart = {"name": about.get("chart", name), "version": about["version"]}
            files = {f"{chart['name']}/Chart.yaml": yaml.safe_dump(chart).encode()}
            checksums[name] = archive(self.folder / f"{name}.tgz", files)
        helm = (ANSIBLE / "tests" / "support" / "helm_stand_in.py").read_text()
        program = f"#!{sys.executable}\n{helm}".encode()
        where = self.folder / "helm.tar.gz"
        packed = archive(where, {f"linux-{a}/helm": program for a in ("amd64", "arm64")})
        checksums["helm"] = {"amd64": packed["all"], "arm64": packed["all"]}
        gateway = self.folder / "gateway.yaml"
        gateway.write_text(yaml.safe_dump_all(crd(*about) for about in BRINGS["gateway-api"]))
        checksums["gateway_api"] = {"all": hashlib.sha256(gateway.read_bytes()).hexdigest()}
        versions = {
            "helm": {"version": "v3.22.0", "url": where.as_uri()},
            "gateway_api": {"version": "v1", "url": gateway.as_uri()},
        }
        return {"checksums": checksums, "versions": versions}

    def play(self, playbook: str, *options: str, **variables: Any) -> tuple[int, str]:
        """Run a playbook; returns its status and all that it printed, in one line."""
        given = json.dumps({**self.variables, **variables})
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory), playbook]
        done = subprocess.run(
            [*command, "-e", given, *options],
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "TMPDIR": str(self.folder)},  # where discovery is cached
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def releases(self) -> dict[str, str]:
        """Helm's releases: name -> namespace."""
        return {
            item["metadata"]["labels"]["name"]: item["metadata"]["namespace"]
            for item in self.api.of_kind("Secret")
            if item["metadata"].get("labels", {}).get("owner") == "helm"
        }

    def values(self, release: str) -> Any:
        """The values that a release was installed with."""
        namespace = self.releases()[release]
        secret = self.api.get("Secret", f"sh.helm.release.v1.{release}", namespace)
        assert secret is not None
        return json.loads(base64.b64decode(secret["data"]["release"]))["values"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.api.server.shutdown()
    cluster.api.server.server_close()


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
PLAYBOOKS = [
    ["install-observability.yaml"],
    ["install-nvidia-operator.yaml", "--limit", "localhost"],  # the machines are not there
    ["install-ray.yaml"],
    ["install-chaos-mesh.yaml"],
]


@pytest.mark.slow
def test_everything_is_installed_once_and_removed_again(cluster: Cluster) -> None:
    status, printed = cluster.play("install-observability.yaml", "--check", "--diff")
    assert status == 0, printed[-3000:]
    assert "would be made: PodMonitor ray, PodMonitor waypoint" in printed
    assert all(dry for *_, dry in cluster.api.log)
    assert cluster.releases() == {}

    for playbook in PLAYBOOKS:
        status, printed = cluster.play(*playbook)
        assert status == 0, printed[-3000:]
    assert cluster.releases() == {**OBSERVABILITY, **REST}
    assert cluster.api.get("Deployment", "nginx-proxy", "ray")
    assert cluster.values("deepflow")["global"]["password"]["mysql"] == "two"
    writes = len(cluster.api.log)
    for playbook in PLAYBOOKS:
        status, printed = cluster.play(*playbook)
        assert status == 0, printed[-3000:]
        assert "changed=0" in printed, printed[-3000:]
    assert {method for method, *_ in cluster.api.log[writes:]} <= {"PATCH"}

    status, printed = cluster.play("uninstall-cluster.yaml", really="no")
    assert status != 0
    assert "nothing was removed" in printed
    status, printed = cluster.play("uninstall-cluster.yaml", really="yes")
    assert status == 0, printed[-3000:]
    assert cluster.releases() == {}
    kept = {item["metadata"]["name"] for item in cluster.api.of_kind("Namespace")}
    assert kept == {"default", "kube-system"}


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
    with_ready_nodes(cluster)
    for resource in (*BRINGS["cilium"], *BRINGS["kube-prometheus-stack"], *BRINGS["gateway-api"]):
        cluster.api.put(crd(*resource))
    cluster.variables["vault_proxy_accounts"] = "admin:secret"


def on_this_machine(cluster: Cluster) -> None:
    cluster.variables["ansible_connection"] = "local"
    cluster.variables["ansible_python_interpreter"] = sys.executable


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
        (Cluster.releases, "install-ray.yaml", "node node-1 is not ready; if it never was"),
        (
            with_ready_nodes,
            "install-ray.yaml",
            "has no servicemonitors.monitoring.coreos.com; run install-observability.yaml first",
        ),
        (with_accounts_in_clear, "install-ray.yaml", "with a hash from: openssl passwd -6"),
        (on_this_machine, "install-nvidia-operator.yaml", "node-4 has an NVIDIA GPU"),
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
