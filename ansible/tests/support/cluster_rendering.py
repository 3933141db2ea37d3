"""What the cluster's roles would send, rendered with their defaults and with other values."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ANSIBLE = Path(__file__).resolve().parents[2]
INVENTORY = ANSIBLE.parent / "inventories" / "example-cluster"
QUERIES = ANSIBLE.parent / "rca-benchmark/src/rca_benchmark/export/queries"
ROLES = sorted({p.parents[2].name for p in (ANSIBLE / "roles").glob("*/templates/[ov]*s/*.j2")})
IMAGES = yaml.safe_load((ANSIBLE / "configs" / "versions.yaml").read_text())["images"]
MODELS = ANSIBLE / "configs" / "models"
IMAGE = "registry.example/serving@sha256:" + "0" * 64
# Everything that chooses between parts of a template, chosen the other way than by default.
OTHERWISE = {
    "ray_namespace": "elsewhere",
    "ray_proxy_api_key": "a.Key+1",
    "ray_proxy_certificate": "-----BEGIN CERTIFICATE-----",
    "ray_proxy_certificate_key": "-----BEGIN PRIVATE KEY-----",
    "ray_proxy_node_port": 30826,
    "nvidia_operator_driver": True,
    "nvidia_operator_interval": "5s",
    "istio_mesh_namespaces": ["one", "two"],
    "chaos_mesh_targets": ["one", "two"],
    "cilium_operator_replicas": 2,
    "prometheus_stack_namespace": "elsewhere",
    "model_parallelism": {"data": 2, "tensor": 2, "pipeline": 2, "head_serves": True},
    "model_folder": "/models/tiny",
    "load_shards": 3,
    "load_shares_node": True,
    "load_image": IMAGE,
    "load_api_key": "a key",
    "model_token": "a token",
    **yaml.safe_load((MODELS / "tiny-llama.yaml").read_text()),
}


def render(out: Path, different: dict[str, Any]) -> None:
    """Render all templates into a folder, with the roles' defaults but for what is different."""
    wheel = out / "rca_llm-1-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    variables = {
        "render_roles": ROLES,
        "render_out": str(out),
        "cluster_kubeconfig": "/nowhere/kubeconfig",
        "cluster_has_cilium": True,
        "vault_grafana_password": "pass: 'word\"",
        "vault_deepflow_password": "pass: 'word\"",
        "vault_proxy_accounts": "admin:$6$salt$hash",
        "prometheus_catalogue_file": str(QUERIES / "kubernetes.yaml"),
        "checksums": {name: {"all": "0" * 64} for name in IMAGES} | {"models": {}},
        "load_settings": {"arrivals": "poisson", "rate": 5, "prompt_tokens": 8, "output_tokens": 4},
        "load_duration_s": 60,
        "load_seed": 1,
        "load_programs": str(ANSIBLE / "roles/load/files"),
        "load_wheel": str(wheel),
        "load_constraints": str(ANSIBLE.parent / "requirements/dev.txt"),
        "evaluation_wheel": str(wheel),
        "evaluation_programs": str(ANSIBLE / "roles/evaluation/files"),
        "evaluation_constraints": str(ANSIBLE.parent / "requirements/dev.txt"),
        "evaluation_dataset": "/data/it's here",
        "evaluation_methods": "baro,nsigma",
        "model_image": IMAGE,
        "model_revision": "0" * 40,
        "model_programs": str(ANSIBLE / "roles/model/files"),
        **(different or yaml.safe_load((MODELS / "phi-4.yaml").read_text())),
    }
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(INVENTORY), "tests/render.yaml"]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables)], cwd=ANSIBLE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "WARNING" not in done.stderr


def documents(folder: Path, role: str = "*") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that is sent, with the template that it comes from."""
    for path in sorted(folder.glob(f"{role}/objects/*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document is not None:
                yield str(path.relative_to(folder)), document


def groups(owner: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of a RayService or RayJob: head first."""
    kind = owner["kind"]
    cluster = owner["spec"]["rayClusterSpec" if kind == "RayJob" else "rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def proxy_configuration(rendered: Path) -> str:
    """The proxy's nginx.conf."""
    (found,) = (
        document["data"]["nginx.conf"]
        for _, document in documents(rendered, "ray")
        if document["kind"] == "ConfigMap"
    )
    return str(found)


def undeclared(given: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Fields that a schema does not declare: an API server would drop them without a word."""
    if isinstance(given, list):
        for item in given:
            yield from undeclared(item, schema.get("items", {}), f"{where}[]")
    if not isinstance(given, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    declared, more = schema.get("properties", {}), schema.get("additionalProperties")
    for key, value in given.items():
        path = f"{where}.{key}".lstrip(".")
        if key in declared:
            yield from undeclared(value, declared[key], path)
        elif isinstance(more, dict):
            yield from undeclared(value, more, path)
        elif declared and more is not True and path not in ("apiVersion", "kind", "metadata"):
            yield path
