"""A cluster that is not there: an API server, an inventory that leads to it, charts and helm.

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
from pathlib import Path
from typing import Any

import yaml
from cluster_api import ClusterApi, Object, crd
from warm_python import warm

ANSIBLE = Path(__file__).resolve().parents[2]
INVENTORIES = ANSIBLE.parent / "inventories"
TOOLS = Path(sys.executable).parent
PINNED = yaml.safe_load((ANSIBLE / "configs" / "versions.yaml").read_text())
CHARTS = PINNED["charts"]
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
    "kuberay-operator": [
        ("ray.io", "v1", "RayService", "rayservices"),
        ("ray.io", "v1", "RayJob", "rayjobs"),
    ],
    "chaos-mesh": [("chaos-mesh.org", "v1alpha1", "StressChaos", "stresschaos")],
    "gateway-api": [("gateway.networking.k8s.io", "v1", "Gateway", "gateways")],
}


def condition(kind: str, value: str = "True") -> Object:
    return {"status": {"conditions": [{"type": kind, "status": value}]}}


def node(name: str, ready: str) -> Object:
    info = {"architecture": "amd64", "kernelVersion": "6.8.0-31-generic"}
    about = {"name": name, "labels": {"nvidia.com/gpu.present": "true"}}
    status = {**condition("Ready", ready)["status"], "nodeInfo": info, "allocatable": {}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": about, "status": status}


def let_go(api: ClusterApi, item: Object) -> None:
    """What Chaos Mesh does about a fault that is taken back, if it is still there."""
    about = item["metadata"]
    runs = api.get("Secret", "sh.helm.release.v1.chaos-mesh", "chaos-mesh")
    if item["kind"] == "StressChaos" and "deletionTimestamp" in about and runs:
        api.delete("StressChaos", about["name"], about["namespace"])


def react(api: ClusterApi, method: str, item: Object) -> None:
    """What the controllers of a real cluster would do about a change."""
    about, kind = item["metadata"], item["kind"]
    let_go(api, item)
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
        self.trouble: dict[str, str] = {}  # with which charts, and what: see helm_stand_in.py
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
        warm(self.inventory)
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
        checksums: dict[str, Any] = {name: {"all": "0" * 64} for name in PINNED["images"]}
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
        return self._run("ansible-playbook", playbook, *options, **variables)

    def role(self, name: str, *options: str, **variables: Any) -> tuple[int, str]:
        """Run one role, `name=NAME` with what else include_role takes; returns the same."""
        pinned = ("-e", "@configs/versions.yaml", "-e", "@configs/namespaces.yaml")
        include = ("-m", "ansible.builtin.include_role", "-a", name)
        return self._run("ansible", "localhost", *include, *pinned, *options, **variables)

    def _run(self, program: str, *words: str, **variables: Any) -> tuple[int, str]:
        given = json.dumps({**self.variables, **variables})
        done = subprocess.run(
            [str(TOOLS / program), *words, "-i", str(self.inventory), "-e", given],
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=600,
            env={
                **os.environ,
                "TMPDIR": str(self.folder),  # where discovery is cached
                "HELM_STAND_IN": json.dumps(self.trouble),
            },
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def releases(self) -> dict[str, str]:
        """Helm's releases: name -> namespace."""
        return {
            item["metadata"]["labels"]["name"]: item["metadata"]["namespace"]
            for item in self.api.of_kind("Secret")
            if item["metadata"].get("labels", {}).get("owner") == "helm"
        }

    def left(self) -> set[str]:
        """What is ours but no chart's: namespaces, Gateway API, what has no namespace."""
        ours = {item["metadata"]["name"] for item in self.api.of_kind("Namespace")}
        ours |= {i["metadata"]["name"] for i in self.api.of_kind("CiliumClusterwideNetworkPolicy")}
        resources = {
            item["metadata"]["name"] for item in self.api.of_kind("CustomResourceDefinition")
        }
        return ours - {"default", "kube-system"} | {n for n in resources if "gateway" in n}

    def revisions(self, release: str) -> list[Any]:
        """The revisions of a release, the oldest first: status, values, chart."""
        namespace = self.releases()[release]
        secret = self.api.get("Secret", f"sh.helm.release.v1.{release}", namespace)
        assert secret is not None
        found: list[Any] = json.loads(base64.b64decode(secret["data"]["release"]))
        return found

    def values(self, release: str) -> Any:
        """The values that a release was installed with."""
        return self.revisions(release)[-1]["values"]

    def close(self) -> None:
        """End the API server."""
        self.api.server.shutdown()
        self.api.server.server_close()
