"""What the cluster's roles would send: every template rendered, held against schemas and charts.

Charts' own values and schemas, and the schemas of custom resources, lie outside the repository (see
the fixture `shared`); without them those tests skip.
"""

import importlib
import json
import os
import re
import shlex
import shutil
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
QUERIES = ANSIBLE.parent / "rca-benchmark/src/rca_benchmark/export/queries"
ROLES = sorted({p.parents[2].name for p in (ANSIBLE / "roles").glob("*/templates/[ov]*s/*.j2")})
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


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(os.environ.get("RCA_LLM_SHARED", ANSIBLE.parents[1] / "shared"))
    if not (folder / "charts").is_dir():
        pytest.skip(f"needs {folder}/charts and /crds (variable RCA_LLM_SHARED)")
    return folder


MODELS = ANSIBLE / "configs" / "models"
IMAGE = "registry.example/serving@sha256:" + "0" * 64
# Everything that chooses between parts of a template, chosen the other way than by default.
OTHERWISE = {
    "ray_namespace": "elsewhere",
    "ray_proxy_api_key": "a key",
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


@pytest.fixture(scope="session", params=[{}, OTHERWISE], ids=["defaults", "otherwise"])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render all templates, with the roles' defaults and with other values."""
    out = tmp_path_factory.mktemp("rendered")
    wheel = out / "rca_llm-1-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    variables = {
        "render_roles": ROLES,
        "render_out": str(out),
        "cluster_kubeconfig": "/nowhere/kubeconfig",
        "vault_grafana_password": "pass: 'word\"",
        "vault_deepflow_password": "pass: 'word\"",
        "vault_proxy_accounts": "admin:$6$salt$hash",
        "prometheus_catalogue_file": str(QUERIES / "kubernetes.yaml"),
        "checksums": {name: {"all": "0" * 64} for name in ("nginx", "python", "ray")}
        | {"models": {}},
        "load_settings": {"arrivals": "poisson", "rate": 5, "prompt_tokens": 8, "output_tokens": 4},
        "load_duration_s": 60,
        "load_seed": 1,
        "load_programs": str(ANSIBLE / "roles/load/files"),
        "load_wheel": str(wheel),
        "evaluation_wheel": str(wheel),
        "evaluation_programs": str(ANSIBLE / "roles/evaluation/files"),
        "evaluation_constraints": str(ANSIBLE.parent / "requirements/dev.txt"),
        "evaluation_dataset": "/data/it's here",
        "evaluation_methods": "baro,nsigma",
        "model_image": IMAGE,
        "model_revision": "0" * 40,
        "model_programs": str(ANSIBLE / "roles/model/files"),
        **(request.param or yaml.safe_load((MODELS / "phi-4.yaml").read_text())),
    }
    command = [str(TOOLS / "ansible-playbook"), "-i", str(INVENTORY), "tests/render.yaml"]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables)], cwd=ANSIBLE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "WARNING" not in done.stderr
    return out


def documents(folder: Path, role: str = "*") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that is sent, with the template that it comes from."""
    for path in sorted(folder.glob(f"{role}/objects/*.yaml")):
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


def merged(given: Any, defaults: Any) -> Any:
    """What a chart gets to see: its defaults with the overrides put in, as Helm does it."""
    if not isinstance(given, dict) or not isinstance(defaults, dict):
        return given
    kept = {**defaults, **{key: merged(value, defaults.get(key)) for key, value in given.items()}}
    return {key: value for key, value in kept.items() if key not in given or value is not None}


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
        validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
        validator.validate(merged(values, defaults))


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


def groups(owner: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of a RayService or RayJob: head first."""
    kind = owner["kind"]
    cluster = owner["spec"]["rayClusterSpec" if kind == "RayJob" else "rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


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
    chart = yaml.safe_load(
        (shared / "charts" / "opentelemetry-collector" / "values.yaml").read_text()
    )["config"]
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


def proxy_configuration(rendered: Path) -> str:
    """The proxy's nginx.conf."""
    (found,) = (
        document["data"]["nginx.conf"]
        for _, document in documents(rendered, "ray")
        if document["kind"] == "ConfigMap"
    )
    return str(found)


def test_the_proxy_asks_for_an_account_where_programs_can_be_run(rendered: Path) -> None:
    text = proxy_configuration(rendered)
    blocks = dict(re.findall(r"location (\S+) \{\n(.*?)\n    \}", text, re.S))
    for place in ("/dashboard/", "/prometheus/"):
        assert "auth_basic_user_file" in blocks[place]
    assert "$has_key" in blocks["/"]


def test_nginx_understands_the_proxys_configuration(rendered: Path, tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("needs nginx")
    text = proxy_configuration(rendered)
    # An nginx of any age, without the OpenTelemetry module, on a machine that is no pod.
    text = re.sub(r"otel_exporter \{.*?\}|load_module .*?;|otel_\w+ .*?;", "", text, flags=re.S)
    text = re.sub(r"\$otel_\w+", "-", text)
    text = re.sub(r"server \S+ resolve;", "server 127.0.0.1:1;", text)
    text = text.replace("kube-dns.kube-system.svc.cluster.local", "127.0.0.1")
    text = re.sub("(?<= )/tmp(?=/)", str(tmp_path), text)
    text = re.sub("/etc/nginx/(secrets|tls)", str(tmp_path), text)
    certificate = ["-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.crt", "-subj", "/CN=a"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *map(str, certificate)]
    subprocess.run(new, check=True, capture_output=True)
    (tmp_path / "api-key.conf").write_text('"Bearer key" 1;\n')
    (tmp_path / "accounts").write_text("admin:$6$salt$hash\n")
    (tmp_path / "nginx.conf").write_text(text)
    done = subprocess.run(
        [nginx, "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_real_api_takes_our_objects(rendered: Path) -> None:
    """Server-side, as a dry run, in the namespace `default`; kinds that it lacks are left out."""
    config = os.environ.get("KUBECONFIG_TEST")
    if not config:
        pytest.skip("needs an API server: set KUBECONFIG_TEST to a kubeconfig")
    config_of: Any = importlib.import_module("kubernetes.config")
    dynamic: Any = importlib.import_module("kubernetes.dynamic")  # the library has no types

    client = dynamic.DynamicClient(config_of.new_client_from_config(config))
    taken = 0
    for _, document in documents(rendered):
        try:
            kind = client.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        except dynamic.exceptions.ResourceNotFoundError:
            continue
        place = {}
        if "namespace" in document["metadata"]:
            place = {"namespace": "default"}
            document["metadata"]["namespace"] = "default"
        options = {"dry_run": "All", "field_manager": "rca-llm-test", "force_conflicts": True}
        client.server_side_apply(kind, document, **place, **options)
        taken += 1
    assert taken > 0


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
    upstream = re.search(r"upstream serve \{[^}]*server (\S+) resolve;", proxy_configuration(rendered))
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
    assert shlex.split(job["entrypoint"])[4] == "/work/data/it's here"
    assert job["rayClusterSpec"]["rayVersion"] == served["rayClusterConfig"]["rayVersion"]
    pods = [group["template"]["metadata"]["labels"] for group in groups(objects["RayJob"])]
    assert objects["Service"]["spec"]["selector"].items() <= pods[0].items()
    for labels in pods:
        assert not {"app", "rca-llm/service"} & set(labels)
        assert labels["istio.io/dataplane-mode"] == "none"
