"""What the cluster's roles would send: every template rendered, held against schemas and charts.

Charts' own values and schemas, and the schemas of custom resources, lie outside the repository (see
the fixture `shared`); without them those tests skip.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped] # it ships no types
import pytest
import yaml

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
INVENTORY = ANSIBLE.parent / "inventories" / "example-cluster"
ROLES = sorted({path.parents[2].name for path in (ANSIBLE / "roles").glob("*/templates/*/*.j2")})
CHARTS = sorted(
    (path.parents[2].name, path.name.removesuffix(".yaml.j2"))
    for path in (ANSIBLE / "roles").glob("*/templates/values/*.j2")
)
# Keys that a chart documents in a comment of its values instead of setting them.
DOCUMENTED = {
    "gpu-operator": {"dcgmExporter.config"},
    "istio-cni": {"profile"},
    "istiod": {"profile"},
    "kube-prometheus-stack": {  # values of the charts that it brings
        "grafana.grafana.ini",
        "grafana.persistence",
        "kube-state-metrics.metricLabelsAllowlist",
        "kube-state-metrics.prometheus.monitor.http.interval",
    },
}
# Parts that a chart hands on to the program as they are; its values hold a few of their keys.
HANDED_ON = {"loki": ("loki.limits_config.",)}
# Charts that could not be had: their keys are not checked.
NOT_AT_HAND = {"cilium"}


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(os.environ.get("RCA_LLM_SHARED", ANSIBLE.parents[1] / "shared"))
    if not (folder / "charts").is_dir():
        pytest.skip(f"needs {folder}/charts and /crds (variable RCA_LLM_SHARED)")
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render all templates with the roles' defaults."""
    out = tmp_path_factory.mktemp("rendered")
    variables = {
        "render_roles": ROLES,
        "render_out": str(out),
        "cluster_kubeconfig": "/nowhere/kubeconfig",
        "vault_grafana_password": "pass: 'word\"",
    }
    command = [str(TOOLS / "ansible-playbook"), "-i", str(INVENTORY), "tests/render.yaml"]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables)], cwd=ANSIBLE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "WARNING" not in done.stderr
    return out


def documents(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that is sent, with the template that it comes from."""
    for path in sorted(folder.glob("*/objects/*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document is not None:
                yield str(path.relative_to(folder)), document


def unknown_keys(given: Any, known: Any, where: str = "") -> Iterator[str]:
    """Keys of an override that the defaults do not have; below an empty default anything goes."""
    if not isinstance(given, dict) or not isinstance(known, dict) or not known:
        return
    for key, value in given.items():
        path = f"{where}.{key}".lstrip(".")
        if key not in known:
            yield path
        else:
            yield from unknown_keys(value, known[key], path)


@pytest.mark.parametrize(("role", "chart"), CHARTS)
def test_a_chart_knows_every_value_that_we_set(
    rendered: Path, shared: Path, role: str, chart: str
) -> None:
    if chart in NOT_AT_HAND:
        pytest.skip(f"the chart of {chart} is not at hand")
    values = yaml.safe_load((rendered / role / "values" / f"{chart}.yaml").read_text())
    defaults = yaml.safe_load((shared / "charts" / chart / "values.yaml").read_text())
    defaults |= defaults.pop("_internal_defaults_do_not_set", {})  # how Istio's charts keep them
    found = set(unknown_keys(values, defaults)) - DOCUMENTED.get(chart, set())
    assert [key for key in found if not key.startswith(HANDED_ON.get(chart, ("-",)))] == []
    schema = shared / "charts" / chart / "values.schema.json"
    if schema.exists():
        jsonschema.validate(values, json.loads(schema.read_text()))


def test_a_value_that_a_chart_does_not_know_is_found() -> None:
    known = {"loki": {"storage": {"type": "s3"}}, "free": {}}
    given = {"loki": {"storge": {}}, "minio": {"enabled": True}, "free": {"any": 1}}
    assert set(unknown_keys(given, known)) == {"loki.storge", "minio"}


def crd(shared: Path, document: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a custom resource, or None for a kind of which none is at hand."""
    group, _, version = document["apiVersion"].rpartition("/")
    path = shared / "crds" / f"{group}_{version}_{document['kind']}.json"
    return json.loads(path.read_text()) if path.exists() else None


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


def test_custom_resources_fit_their_schemas(rendered: Path, shared: Path) -> None:
    checked = 0
    for source, document in documents(rendered):
        schema = crd(shared, document)
        if schema is None:
            continue
        checked += 1
        # Some patterns are Go's and no Python; they count only where their field is set.
        jsonschema.Draft202012Validator(schema).validate(document)
        assert list(undeclared(document, schema)) == [], source
    assert checked > 0


def test_core_objects_fit_the_api_of_the_pinned_version(rendered: Path) -> None:
    pinned = yaml.safe_load((ANSIBLE / "configs" / "versions.yaml").read_text())
    version = ".".join(pinned["versions"]["k3s"]["version"].removeprefix("v").split(".")[:2])
    checked = 0
    for _, document in documents(rendered):
        group = document["apiVersion"].partition("/")[0]
        if "." not in group or (group.endswith(".k8s.io") and "gateway" not in group):
            kubernetes_validate.validate(document, version, strict=True)
            checked += 1
    assert checked > 0


def test_no_metric_that_the_exporter_reads_is_dropped(rendered: Path) -> None:
    path = rendered / "prometheus" / "values" / "kube-prometheus-stack.yaml"
    rules = yaml.safe_load(path.read_text())["kubelet"]["serviceMonitor"][
        "cAdvisorMetricRelabelings"
    ]
    dropped = [rule["regex"] for rule in rules if rule["sourceLabels"] == ["__name__"]]
    queries = ANSIBLE.parent / "rca-benchmark/src/rca_benchmark/export/queries/kubernetes.yaml"
    read = set(re.findall(r"\bcontainer_[a-z_]+", queries.read_text()))
    assert len(read) > 5
    assert [name for name in read for regex in dropped if re.fullmatch(regex, name)] == []


def test_every_gpu_counter_that_the_exporter_reads_is_sampled(rendered: Path) -> None:
    path = rendered / "nvidia_operator" / "objects" / "counters.yaml"
    counters = yaml.safe_load(path.read_text())["data"]["dcgm-metrics.csv"]
    sampled = {line.split(",")[0] for line in counters.splitlines()}
    for name in ("kubernetes", "original"):
        file = ANSIBLE.parent / f"rca-benchmark/src/rca_benchmark/export/queries/{name}.yaml"
        assert set(re.findall(r"DCGM_FI_[A-Z_]+", file.read_text())) <= sampled


def test_every_object_has_a_name_and_a_kind(rendered: Path) -> None:
    seen = set()
    for source, document in documents(rendered):
        assert {"apiVersion", "kind", "metadata"} <= set(document), source
        about = document["metadata"]
        key = (source, document["kind"], about.get("namespace"), about["name"])
        assert key not in seen, key
        seen.add(key)
    assert seen
