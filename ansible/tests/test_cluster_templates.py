"""What the cluster's roles would send: every template rendered, held against schemas and charts.

The keys of the charts' values are in `charts/`, written by `support/chart_keys.py`. The charts' own
files and the schemas of custom resources lie outside the repository (see the fixture `shared`);
without them those tests skip.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped] # it ships no types
import pytest
import yaml
from chart_keys import KEYS, defaults, keys
from cluster_rendering import ANSIBLE, QUERIES, documents, groups, proxy_configuration, undeclared

CHARTS = sorted(
    (path.parents[2].name, path.name.removesuffix(".yaml.j2"))
    for path in (ANSIBLE / "roles").glob("*/templates/values/*.j2")
)
# Keys that a chart documents in a comment of its values instead of setting them.
DOCUMENTED = {
    "gpu-operator": {"dcgmExporter.config"},
    "istio-cni": {"profile"},
    "istiod": {"profile"},
    "kuberay-operator": {"resources.requests", "watchNamespace"},
    "kube-prometheus-stack": {  # values of the charts that it brings
        "grafana.grafana.ini",
        "grafana.persistence",
        "kube-state-metrics.metricLabelsAllowlist",
        "kube-state-metrics.prometheus.monitor.http.interval",
    },
}
# Parts that a chart hands on to the program as they are; its values hold a few of their keys.
HANDED_ON = {"loki": ("loki.limits_config.",), "opentelemetry-collector": ("config.",)}
# Charts that could not be had: their keys are not checked.
NOT_AT_HAND = {"cilium"}


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


def merged(given: Any, defaults: Any) -> Any:
    """What a chart gets to see: its defaults with the overrides put in, as Helm does it."""
    if not isinstance(given, dict) or not isinstance(defaults, dict):
        return given
    kept = {**defaults, **{key: merged(value, defaults.get(key)) for key, value in given.items()}}
    return {key: value for key, value in kept.items() if key not in given or value is not None}


@pytest.mark.parametrize(("role", "chart"), CHARTS)
def test_a_chart_knows_every_value_that_we_set(rendered: Path, role: str, chart: str) -> None:
    if chart in NOT_AT_HAND:
        pytest.skip(f"the chart of {chart} is not at hand")
    values = yaml.safe_load((rendered / role / "values" / f"{chart}.yaml").read_text())
    known = json.loads((KEYS / f"{chart}.keys.json").read_text())
    found = set(unknown_keys(values, known)) - DOCUMENTED.get(chart, set())
    assert [key for key in found if not key.startswith(HANDED_ON.get(chart, ("-",)))] == []


def test_known_keys_are_those_of_the_charts(shared: Path) -> None:
    for chart in {chart for _, chart in CHARTS} - NOT_AT_HAND:
        known = json.loads((KEYS / f"{chart}.keys.json").read_text())
        assert known == keys(defaults(shared / "charts" / chart)), f"{chart}: run chart_keys.py"


def test_values_fit_the_schemas_of_their_charts(rendered: Path, shared: Path) -> None:
    checked = 0
    for role, chart in CHARTS:
        schema = shared / "charts" / chart / "values.schema.json"
        if schema.exists():
            values = yaml.safe_load((rendered / role / "values" / f"{chart}.yaml").read_text())
            validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
            validator.validate(merged(values, defaults(shared / "charts" / chart)))
            checked += 1
    assert checked > 2


def test_a_value_that_a_chart_does_not_know_is_found() -> None:
    known = {"loki": {"storage": {"type": "s3"}}, "free": {}}
    given = {"loki": {"storge": {}}, "minio": {"enabled": True}, "free": {"any": 1}}
    assert set(unknown_keys(given, known)) == {"loki.storge", "minio"}


def crd(shared: Path, document: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a custom resource, or None for a kind of which none is at hand."""
    group, _, version = document["apiVersion"].rpartition("/")
    path = shared / "crds" / f"{group}_{version}_{document['kind']}.json"
    return json.loads(path.read_text()) if path.exists() else None


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
    queries = (QUERIES / "kubernetes.yaml").read_text()
    read = set(re.findall(r"\bcontainer_[a-z_]+", queries))
    assert len(read) > 5
    assert [name for name in read for regex in dropped if re.fullmatch(regex, name)] == []


def test_every_gpu_counter_that_the_exporter_reads_is_sampled(rendered: Path) -> None:
    path = rendered / "nvidia_operator" / "objects" / "counters.yaml"
    counters = yaml.safe_load(path.read_text())["data"]["dcgm-metrics.csv"]
    sampled = {line.split(",")[0] for line in counters.splitlines()}
    for name in ("kubernetes", "original"):
        read = (QUERIES / f"{name}.yaml").read_text()
        assert set(re.findall(r"DCGM_FI_[A-Z_]+", read)) <= sampled


def test_every_object_has_a_name_and_a_kind(rendered: Path) -> None:
    seen = set()
    for source, document in documents(rendered):
        assert {"apiVersion", "kind", "metadata"} <= set(document), source
        about = document["metadata"]
        key = (source, document["kind"], about.get("namespace"), about["name"])
        assert key not in seen, key
        seen.add(key)
    assert seen


def test_dashboards_show_the_exporters_own_queries(rendered: Path) -> None:
    catalogue = yaml.safe_load((QUERIES / "kubernetes.yaml").read_text())["queries"]
    shown, uids = set(), set()
    for _, document in documents(rendered, "prometheus"):
        for name, text in (document.get("data") or {}).items():
            dashboard = json.loads(text)
            assert name == f"{dashboard['uid'].removeprefix('rca-llm-')}.json"
            uids.add(dashboard["uid"])
            assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
            shown |= {panel["title"].split()[0] for panel in dashboard["panels"]}
            for panel in dashboard["panels"]:
                expression = panel["targets"][0]["expr"]
                assert not re.search(r"\$(rate|last|namespace|window)\b", expression)
    assert uids == {"rca-llm-llm-serving", "rca-llm-gpu", "rca-llm-experiment"}
    assert {query["metric"] for query in catalogue} == shown


def pods(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Pod specs of our own objects."""
    if document["kind"] in ("Deployment", "DaemonSet", "Job", "StatefulSet"):
        yield document["spec"]["template"]["spec"]
    if document["kind"] in ("RayService", "RayJob"):
        for group in groups(document):
            yield group["template"]["spec"]


def test_our_pods_are_as_restricted_as_pods_can_be(rendered: Path) -> None:
    seen = 0
    for source, document in documents(rendered):
        for pod in pods(document):
            assert pod["securityContext"]["runAsNonRoot"], source
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            for container in pod["containers"] + pod.get("initContainers", []):
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert container["resources"]["limits"]
                assert re.search("@sha256:[0-9a-f]{64}$", container["image"])
                seen += 1
    assert seen


def test_nobody_may_do_everything(rendered: Path) -> None:
    seen = 0
    for source, document in documents(rendered):
        assert document["kind"] not in ("ClusterRole", "ClusterRoleBinding"), source
        for rule in document.get("rules", []) if document["kind"] == "Role" else []:
            assert "*" not in rule["verbs"] + rule["resources"], source
            assert "secrets" not in rule["resources"], source
            seen += 1
    assert seen


def test_every_namespace_is_closed_and_has_a_level(rendered: Path) -> None:
    wanted = yaml.safe_load((ANSIBLE / "configs" / "namespaces.yaml").read_text())["namespaces"]
    made, closed = {}, {}
    for _, document in documents(rendered, "namespaces"):
        about = document["metadata"]
        if document["kind"] == "Namespace":
            made[about["name"]] = about["labels"]["pod-security.kubernetes.io/enforce"]
        if document["kind"] == "NetworkPolicy":
            assert document["spec"]["podSelector"] == {}
            closed[about["namespace"]] = document["spec"]["ingress"]
    assert made == {name: about["pod_security"] for name, about in wanted.items()}
    assert set(closed) == set(wanted)
    for name, about in wanted.items():
        # Whoever may do more than `baseline` allows says why; whoever may come in is in the list.
        assert ("why" in about) == (about["pod_security"] == "privileged"), name
        assert len(closed[name]) == 1 + len(about.get("from", {}))
        assert set(about.get("from", {})) <= set(wanted) | {"anywhere"}


def test_every_part_of_a_collectors_pipelines_is_configured(rendered: Path, shared: Path) -> None:
    chart = defaults(shared / "charts" / "opentelemetry-collector")["config"]
    values = rendered / "opentelemetry" / "values" / "opentelemetry-collector.yaml"
    shipper = merged(yaml.safe_load(values.read_text())["config"], chart)
    (traces,) = (
        document["spec"]["config"]
        for _, document in documents(rendered, "opentelemetry")
        if document["kind"] == "OpenTelemetryCollector"
    )
    assert set(shipper["service"]["pipelines"]) == {"logs"}
    for config in (shipper, traces):
        for pipeline in config["service"]["pipelines"].values():
            for kind in ("receivers", "processors", "exporters"):
                assert set(pipeline[kind]) <= set(config[kind])


def ray_service(rendered: Path) -> dict[str, Any]:
    """The RayService that serves the model."""
    (found,) = (o for _, o in documents(rendered, "model") if o["kind"] == "RayService")
    return found


def test_ray_pods_are_services_with_their_gpus(rendered: Path) -> None:
    found = {}
    for group in groups(ray_service(rendered)):
        labels = group["template"]["metadata"]["labels"]
        (container,) = group["template"]["spec"]["containers"]
        assert container["name"] == labels["app"] == labels["rca-llm/service"]
        found[container["name"]] = container["resources"]["limits"].get("nvidia.com/gpu", 0)
        assert "metrics" in {port["name"] for port in container["ports"]}
        environment = {entry["name"]: entry for entry in container["env"]}
        assert environment["OTEL_SERVICE_NAME"]["value"] == container["name"]
        assert environment["PYTHONPATH"]["value"] == "/opt/rca-llm"  # with and without a token
    few = {"ray-head": 0, "ray-replicas-0": 1, "ray-replicas-1": 1}
    many = {"ray-head": 2, "ray-replicas-0": 2, "ray-replicas-1": 2, "ray-replicas-2": 2}
    assert found in (few, many)


def test_serve_gets_what_the_serving_module_takes(rendered: Path) -> None:
    service = ray_service(rendered)
    serving = yaml.safe_load(service["spec"]["serveConfigV2"])
    (application,) = serving["applications"]
    module, function = application["import_path"].split(":")
    code = (ANSIBLE / "roles/model/files" / f"{module}.py").read_text()
    assert f"def {function}(config: dict[str, Any])" in code
    taken = set(
        re.findall(r'config(?:\.get\(|\[)"(\w+)"', code.split("def build")[1].split("def ")[0])
    )
    assert set(application["args"]) <= taken
    engine, gpus = application["args"]["engine"], len(groups(service)) == 4
    assert engine["max_model_len"]
    if gpus:
        assert application["args"]["placement_group_bundles"] == [{"CPU": 1}] + [
            {"CPU": 1, "GPU": 1}
        ] * (engine["tensor_parallel_size"] * engine["pipeline_parallel_size"])
        assert engine["model"] == "/models/tiny"
    else:
        assert application["args"]["ray_actor_options"]["num_gpus"] == 1
        assert engine["revision"] == "0" * 40


def test_the_proxy_asks_the_pod_on_which_serve_listens(rendered: Path) -> None:
    service = ray_service(rendered)
    serving = yaml.safe_load(service["spec"]["serveConfigV2"])
    assert serving["proxy_location"] == "HeadOnly"
    upstream = re.search(
        r"upstream serve \{[^}]*server (\S+) resolve;", proxy_configuration(rendered)
    )
    assert upstream is not None
    host, port = upstream[1].split(":")
    assert host.partition(".")[0] == f"{service['metadata']['name']}-head-svc"  # KubeRay's name
    assert int(port) == serving["http_options"]["port"]
    # KubeRay gives the head's service the ports of its first container.
    ports = groups(service)[0]["template"]["spec"]["containers"][0]["ports"]
    assert {entry["name"]: entry["containerPort"] for entry in ports}["serve"] == int(port)


def test_every_shard_of_the_load_has_an_address_of_its_own(rendered: Path) -> None:
    load = [document for _, document in documents(rendered, "load")]
    (job,) = (o for o in load if o["kind"] == "Job")
    assert job["spec"]["completionMode"] == "Indexed"
    index = "batch.kubernetes.io/job-completion-index"
    shards = {o["spec"]["selector"][index] for o in load if o["kind"] == "Service"}
    assert shards == {str(n) for n in range(job["spec"]["completions"])}
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert f"--shard=$(JOB_COMPLETION_INDEX)/{len(shards)}" in container["command"]
    (programs,) = (o for o in load if o["kind"] == "ConfigMap")
    away = "affinity" in job["spec"]["template"]["spec"]
    assert away == bool(programs.get("binaryData"))  # both as by default, or neither


def test_a_scoring_runs_on_nodes_that_are_no_part_of_the_stack(rendered: Path) -> None:
    objects = {o["kind"]: o for _, o in documents(rendered, "evaluation")}
    job, served = objects["RayJob"]["spec"], ray_service(rendered)["spec"]
    assert shlex.split(job["entrypoint"])[4] == "/scoring/data/it's here"
    assert job["rayClusterSpec"]["rayVersion"] == served["rayClusterConfig"]["rayVersion"]
    pods = [group["template"]["metadata"]["labels"] for group in groups(objects["RayJob"])]
    assert objects["Service"]["spec"]["selector"].items() <= pods[0].items()
    for labels in pods:
        assert not {"app", "rca-llm/service"} & set(labels)
        assert labels["istio.io/dataplane-mode"] == "none"
