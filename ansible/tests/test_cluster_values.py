"""What is asked of each component of a cluster, read from the rendered values and objects."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_rendering import ANSIBLE, QUERIES, documents, groups

NAMESPACES = yaml.safe_load((ANSIBLE / "configs" / "namespaces.yaml").read_text())["namespaces"]
SERVED = yaml.safe_load((ANSIBLE / "roles/load/defaults/main.yaml").read_text())["load_url"]


def values(rendered: Path, role: str, chart: str = "") -> Any:
    """The values that a role gives to a chart."""
    return yaml.safe_load((rendered / role / "values" / f"{chart or role}.yaml").read_text())


def of_kind(rendered: Path, kind: str, role: str = "*") -> dict[str, dict[str, Any]]:
    """The objects of a kind by their names."""
    found = (o for _, o in documents(rendered, role) if o["kind"] == kind)
    return {item["metadata"]["name"]: item for item in found}


def monitored(rendered: Path) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Name, namespaces and endpoint of everything that our monitors scrape."""
    for kind, key in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        for name, monitor in of_kind(rendered, kind, "prometheus").items():
            for endpoint in monitor["spec"][key]:
                yield name, monitor["spec"]["namespaceSelector"]["matchNames"], endpoint


def test_logs_are_kept_on_a_disk_and_deleted_when_they_are_old(rendered: Path) -> None:
    given = values(rendered, "loki")
    assert given["deploymentMode"] == "Monolithic"
    assert given["singleBinary"]["persistence"]["enabled"] is True
    assert given["loki"]["limits_config"]["retention_period"] == "336h"
    assert given["loki"]["compactor"]["retention_enabled"] is True
    assert given["loki"]["compactor"]["delete_request_store"] == given["loki"]["storage"]["type"]


def test_grafana_is_for_those_with_the_vaults_password(rendered: Path) -> None:
    given = values(rendered, "prometheus", "kube-prometheus-stack")["grafana"]
    assert given["grafana.ini"]["auth.anonymous"] == {"enabled": False}
    secret = of_kind(rendered, "Secret", "prometheus")[given["admin"]["existingSecret"]]
    assert {given["admin"]["userKey"], given["admin"]["passwordKey"]} == set(secret["stringData"])
    assert "adminPassword" not in given


def test_only_prometheus_is_grafanas_default(rendered: Path) -> None:
    given = values(rendered, "prometheus", "kube-prometheus-stack")["grafana"]
    assert not [source for source in given["additionalDataSources"] if source.get("isDefault")]
    assert not [
        name
        for name, o in of_kind(rendered, "ConfigMap").items()
        if "grafana_datasource" in o["metadata"].get("labels", {})
    ]


def test_everything_is_scraped_as_often_as_the_exporter_reads(rendered: Path) -> None:
    step = f"{yaml.safe_load((QUERIES / 'kubernetes.yaml').read_text())['step_seconds']}s"
    given = values(rendered, "prometheus", "kube-prometheus-stack")
    spec = given["prometheus"]["prometheusSpec"]
    assert {spec["scrapeInterval"], spec["evaluationInterval"]} == {step}
    assert spec["storageSpec"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    assert {endpoint["interval"] for *_, endpoint in monitored(rendered)} == {step}
    shipper = values(rendered, "opentelemetry", "opentelemetry-collector")["podMonitor"]
    assert shipper == {"enabled": True, "metricsEndpoints": [{"port": "metrics", "interval": step}]}


def test_gpus_are_sampled_as_often_as_they_are_scraped(rendered: Path) -> None:
    exporter = values(rendered, "nvidia_operator", "gpu-operator")["dcgmExporter"]
    environment = {entry["name"]: entry["value"] for entry in exporter["env"]}
    interval = exporter["serviceMonitor"]["interval"]
    assert interval in ("1s", "5s")
    assert f"{environment['DCGM_EXPORTER_INTERVAL']}" == interval.replace("s", "000")


def test_what_is_scraped_may_be_reached(rendered: Path) -> None:
    """Ports that monitors give by number; those by name are the pods' own."""
    numbers = {"chaos-mesh": 10080, "ray": 8080}  # chart's METRICS_PORT; Ray's containers
    for name, namespaces, endpoint in monitored(rendered):
        port = endpoint.get("portNumber", numbers.get(name))
        for namespace in set(namespaces) & set(NAMESPACES):
            assert port in NAMESPACES[namespace]["from"]["observability"], name


def test_every_ray_pod_is_monitored_under_its_services_name(rendered: Path) -> None:
    spec = of_kind(rendered, "PodMonitor", "prometheus")["ray"]["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    relabelled = {rule["targetLabel"]: rule["sourceLabels"] for rule in endpoint["relabelings"]}
    assert relabelled["service"] == ["__meta_kubernetes_pod_label_app"]
    assert {rule["operator"] for rule in spec["selector"]["matchExpressions"]} == {"Exists"}
    asked = {rule["key"] for rule in spec["selector"]["matchExpressions"]}
    (service,) = of_kind(rendered, "RayService", "model").values()
    for group in groups(service):
        labels = group["template"]["metadata"]["labels"]
        assert asked - set(labels) <= {"ray.io/cluster"}  # which KubeRay sets
        (container,) = group["template"]["spec"]["containers"]
        assert endpoint["port"] in {port["name"] for port in container["ports"]}


def test_flows_are_found_by_the_labels_of_their_service(rendered: Path) -> None:
    """Cilium's service hubble-metrics has this label and port, where there is a list of metrics."""
    spec = of_kind(rendered, "ServiceMonitor", "prometheus")["hubble"]["spec"]
    assert spec["selector"] == {"matchLabels": {"k8s-app": "hubble"}}
    assert [endpoint["port"] for endpoint in spec["endpoints"]] == ["hubble-metrics"]
    assert values(rendered, "cilium")["hubble"]["metrics"]["enabled"]


def test_faults_are_shown_by_series_that_are_there(rendered: Path) -> None:
    prometheus = values(rendered, "prometheus", "kube-prometheus-stack")
    brought = {"chaos_controller_manager_chaos_experiments": "chaos-mesh"}
    labels = prometheus["kube-state-metrics"]["metricLabelsAllowlist"]
    named = re.search(r"pods=\[(.*)\]", " ".join(labels))
    assert named is not None
    pod_labels = {"label_" + re.sub(r"\W", "_", name) for name in named[1].split(",")}
    shown = 0
    for _, document in documents(rendered, "prometheus"):
        for text in document.get("data", {}).values():
            for fault in json.loads(text)["annotations"]["list"]:
                assert fault["datasource"]["type"] == "prometheus"
                assert fault["step"] == "5s"
                for name in re.findall(r"\b(?:chaos|kube)_\w+", fault["expr"]):
                    if not name.startswith("kube_pod_"):  # kube-state-metrics
                        assert brought[name] in {about[0] for about in monitored(rendered)}
                assert set(re.findall(r"\blabel_\w+", fault["expr"])) <= pod_labels
                assert fault["titleFormat"].strip("{}") in fault["expr"]
                shown += 1
    assert shown == 2 * 3  # of Chaos Mesh and of GPUs, on each dashboard
    made = (ANSIBLE / "roles/chaos/templates/kubernetes/nvidia-smi.yaml.j2").read_text()
    assert "rca-llm/fault:" in made


def test_faults_reach_the_named_namespaces_only_and_pause_with_a_pinned_image(
    rendered: Path,
) -> None:
    given = values(rendered, "chaos_mesh", "chaos-mesh")["controllerManager"]
    assert given["enableFilterNamespace"] is True
    for namespace in of_kind(rendered, "Namespace", "chaos_mesh").values():
        assert namespace["metadata"]["annotations"] == {"chaos-mesh.org/inject": "enabled"}
    image = given["podChaos"]["podFailure"]["pauseImage"]
    assert re.fullmatch(r"registry\.k8s\.io/pause:[0-9.]+@sha256:[0-9a-f]{64}", image)


def test_spans_go_to_files_and_to_deepflow(rendered: Path) -> None:
    (collector,) = of_kind(rendered, "OpenTelemetryCollector", "opentelemetry").values()
    traces = collector["spec"]["config"]["service"]["pipelines"]["traces"]
    assert set(traces["exporters"]) == {"file", "otlp_http/deepflow"}


def test_the_entry_is_measured_as_every_request_comes_through_the_waypoint(rendered: Path) -> None:
    """Istio leaves out the waypoint for whoever calls from outside the mesh."""
    made = of_kind(rendered, "Namespace", "namespaces")
    for name in ("ray", "load"):
        assert made[name]["metadata"]["labels"]["istio.io/dataplane-mode"] == "ambient"
    gateways = of_kind(rendered, "Gateway", "istio")
    assert made["ray"]["metadata"]["labels"]["istio.io/use-waypoint"] in gateways
    for gateway in gateways.values():
        assert gateway["metadata"]["labels"]["istio.io/waypoint-for"] == "all"
    assert NAMESPACES["ray"]["from"]["anywhere"] == [15008]  # the mesh's tunnel
    assert "load" not in NAMESPACES["ray"]["from"]  # no way past the waypoint
    # The mesh reads requests from what is not encrypted already.
    (port,) = of_kind(rendered, "Service", "ray")["nginx-proxy"]["spec"]["ports"]
    assert port["name"] == "http"
    assert f"http://nginx-proxy.ray.svc.cluster.local:{port['port']}" == SERVED


def test_the_mesh_calls_pods_by_their_services_names(rendered: Path) -> None:
    """Istio reads these labels in this order; KubeRay sets the second one on all its pods."""
    order = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]
    (proxy,) = of_kind(rendered, "Deployment", "ray").values()
    (service,) = of_kind(rendered, "RayService", "model").values()
    pods = [proxy["spec"]["template"], *(group["template"] for group in groups(service))]
    for pod in pods:
        labels = pod["metadata"]["labels"]
        if pod is not pods[0]:
            labels = {"app.kubernetes.io/name": "kuberay", **labels}
        name = next(labels[label] for label in order if label in labels)
        assert name == labels["rca-llm/service"]


def test_the_mesh_encrypts_and_counts_no_single_connections(rendered: Path) -> None:
    rules = of_kind(rendered, "PeerAuthentication", "istio")
    assert {rule["spec"]["mtls"]["mode"] for rule in rules.values()} == {"PERMISSIVE"}
    for telemetry in of_kind(rendered, "Telemetry", "istio").values():
        for metrics in telemetry["spec"]["metrics"]:
            # A tag with an address makes a series per connection.
            assert not [rule for rule in metrics["overrides"] if "tagOverrides" in rule]


def kinds_of_service(given: Any) -> Iterator[str]:
    """Every `type` of a service in the values of a chart."""
    for key, value in given.items() if isinstance(given, dict) else ():
        if key == "service" and isinstance(value, dict) and "type" in value:
            yield value["type"]
        yield from kinds_of_service(value)


def test_nothing_is_open_to_the_outside_but_the_proxys_tls(
    rendered: Path, request: pytest.FixtureRequest
) -> None:
    for path in rendered.glob("*/values/*.yaml"):
        assert set(kinds_of_service(yaml.safe_load(path.read_text()))) <= {"ClusterIP"}
    services = of_kind(rendered, "Service")
    opened = {
        n: o for n, o in services.items() if o["spec"].get("type", "ClusterIP") != "ClusterIP"
    }
    policies = of_kind(rendered, "NetworkPolicy", "ray")
    if "otherwise" in request.node.name:
        assert set(opened) == {"nginx-proxy-tls"}
        (port,) = opened["nginx-proxy-tls"]["spec"]["ports"]
        assert port["targetPort"] == 8443
        (rule,) = policies["nginx-proxy-from-outside"]["spec"]["ingress"]
        assert rule == {"ports": [{"port": 8443, "protocol": "TCP"}]}
    else:
        assert opened == policies == {}


def test_the_load_is_installed_with_the_dependencies_that_are_locked(rendered: Path) -> None:
    (job,) = of_kind(rendered, "Job", "load").values()
    for install in job["spec"]["template"]["spec"].get("initContainers", []):
        assert "--constraint=/programs/constraints.txt" in install["command"]
        text = of_kind(rendered, "ConfigMap", "load")["load-programs"]["data"]["constraints.txt"]
        locked = {line.partition("==")[0].lower().replace("_", "-") for line in text.split()}
        project = tomllib.loads((ANSIBLE.parent / "pyproject.toml").read_text())["project"]
        needed = {re.split(r"[<>=\[;]", name)[0].lower() for name in project["dependencies"]}
        assert needed <= locked
