"""The placement record of a stack that runs on Kubernetes, taken from its API server now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import cluster_settings
from rca_benchmark.export.promql import instant_query
from rca_benchmark.export.requesting import brief

if TYPE_CHECKING:
    from rca_benchmark.export.endpoint import Endpoint

SERVICE_LABELS: Final = ("rca-llm/service", "app")
# Which GPU a pod holds, as DCGM exporter labels its metrics; the second form of the labels is what
# Prometheus makes of those that its own target has too.
_GPUS: Final = 'DCGM_FI_DEV_GPU_UTIL{{{pod}!="",{namespace}="{value}"}}'
_POD_LABELS: Final = (("pod", "namespace"), ("exported_pod", "exported_namespace"))


def take_placement(namespace: str, prometheus: Endpoint | None) -> dict[str, dict[str, Any]]:
    """Where each service runs: the content of a placement record, by service.

    A pod's service is its label ``rca-llm/service``, else ``app``; pods that have neither, or that
    do not run, are left out.

    Args:
        namespace: where the stack runs.
        prometheus: knows which GPUs a pod holds, from DCGM exporter; None leaves GPUs out.

    Raises:
        ExportError: the cluster does not answer, no pod of a service runs there, or two pods are
            the same service.
    """
    gpus = _gpus_by_pod(namespace, prometheus) if prometheus is not None else {}
    places: dict[str, dict[str, Any]] = {}
    for pod in _pods(namespace):
        labels = pod.metadata.labels or {}
        service = next((labels[key] for key in SERVICE_LABELS if labels.get(key)), None)
        if service is None or pod.status.phase != "Running" or pod.metadata.deletion_timestamp:
            continue
        if service in places:
            raise ExportError(
                f"namespace {namespace}: pods {places[service]['pod']} and {pod.metadata.name} are "
                f"both {service}; give each its own label {SERVICE_LABELS[0]}"
            )
        places[service] = {
            "address": pod.status.pod_ip,
            "node": pod.spec.node_name,
            "node_address": pod.status.host_ip,
            "pod": pod.metadata.name,
        }
        if found := sorted(gpus.get(pod.metadata.name, ())):
            places[service]["gpus"] = found
    if not places:
        raise ExportError(
            f"namespace {namespace}: no running pod has a label {' or '.join(SERVICE_LABELS)}"
        )
    return places


def _pods(namespace: str) -> list[Any]:
    settings = cluster_settings("kubernetes")
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        api = client.CoreV1Api(client.ApiClient(settings))
        pods: list[Any] = api.list_namespaced_pod(namespace, _request_timeout=30).items
    except ApiException as error:
        raise ExportError(
            f"kubernetes at {settings.host}: pods of {namespace}: HTTP {error.status} "
            f"{error.reason}"
        ) from error
    except HTTPError as error:
        raise ExportError(f"kubernetes at {settings.host}: no answer: {brief(error)}") from error
    return pods


def _gpus_by_pod(namespace: str, prometheus: Endpoint) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pod, space in _POD_LABELS:
        query = _GPUS.format(pod=pod, namespace=space, value=namespace)
        for labels, _ in instant_query(prometheus, query):
            found.setdefault(labels[pod], set()).add(labels.get("UUID", ""))
    return {pod: uuids - {""} for pod, uuids in found.items()}
