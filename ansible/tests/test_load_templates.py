"""The load's pods and the collector's files, as their objects are rendered."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_rendering import ANSIBLE, OTHERWISE, documents

Object = dict[str, Any]


@pytest.fixture
def load(rendered: Path) -> dict[str, Object]:
    """The load's objects by kind; of several Services, one."""
    return {document["kind"]: document for _, document in documents(rendered, "load")}


def test_the_load_keeps_away_from_whatever_serves(rendered: Path, load: dict[str, Object]) -> None:
    pod = load["Job"]["spec"]["template"]["spec"]
    if "affinity" not in pod:  # as was asked for: the pods may share a node
        return
    (term,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    (expression,) = term["labelSelector"]["matchExpressions"]
    assert expression == {"key": "rca-llm/service", "operator": "Exists"}
    serving = [o for _, o in documents(rendered, "*") if "rca-llm/service" in json.dumps(o)]
    places = {
        o["metadata"]["namespace"] for o in serving if o["kind"] in ("RayService", "Deployment")
    }
    assert places == set(term["namespaces"])


def test_the_load_gets_what_it_may_use_and_no_more(load: dict[str, Object]) -> None:
    pod = load["Job"]["spec"]["template"]["spec"]
    for container in pod["containers"] + pod.get("initContainers", []):
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert set(resources["limits"]) == {"cpu", "memory"}


def test_the_proxys_key_reaches_the_load_as_a_secret_only(load: dict[str, Object]) -> None:
    (container,) = load["Job"]["spec"]["template"]["spec"]["containers"]
    given = {entry["name"]: entry.get("valueFrom") for entry in container["env"]}
    if "Secret" not in load:
        assert "OPENAI_API_KEY" not in given
        return
    secret = load["Secret"]
    place = {"name": secret["metadata"]["name"], "key": "api-key"}
    assert given["OPENAI_API_KEY"] == {"secretKeyRef": place}
    assert secret["stringData"] == {"api-key": OTHERWISE["load_api_key"]}
    others = [json.dumps(item) for kind, item in load.items() if kind != "Secret"]
    assert not [text for text in others if OTHERWISE["load_api_key"] in text]


def test_the_collectors_files_are_where_an_export_looks_for_them(rendered: Path) -> None:
    found = {o["kind"]: o for _, o in documents(rendered, "opentelemetry")}
    about, (port,) = found["Service"]["metadata"], found["Service"]["spec"]["ports"]
    defaults = yaml.safe_load((ANSIBLE / "roles/telemetry/defaults/main.yaml").read_text())
    address = f"k8s://{about['namespace']}/{about['name']}:{port['port']}"
    assert defaults["telemetry_spans"] == address
    collector = found["OpenTelemetryCollector"]["spec"]
    (server,) = collector["additionalContainers"]
    assert port["targetPort"] in [p["containerPort"] for p in server["ports"]]
    path = Path(collector["config"]["exporters"]["file"]["path"])
    assert path.suffix == ".jsonl"
    assert str(path.parent) in [mount["mountPath"] for mount in server["volumeMounts"]]
    configuration = found["ConfigMap"]["data"]["nginx.conf"]
    assert f"listen {port['targetPort']};" in configuration
    assert f"root {path.parent};" in configuration
