"""What a cluster's API server knows about the served model, as JSON; KUBECONFIG leads there."""

from collections.abc import Callable
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import cluster_settings

Item = dict[str, Any]
PODS = "ray.io/cluster,rca-llm/service"  # the labels of those that serve
TIMEOUT_S = 30


def read(ask: Callable[[Any], Any]) -> Any:
    """Return what a question is answered; None where the server has no such thing.

    Args:
        ask: gets a client of the package kubernetes.

    Raises:
        ExportError: the API server does not answer, or refuses.
    """
    settings = cluster_settings("kubernetes")
    api: Any = client.ApiClient(settings)
    try:
        return api.sanitize_for_serialization(ask(api))
    except ApiException as error:
        if error.status == 404:
            return None
        raise ExportError(
            f"kubernetes at {settings.host}: HTTP {error.status} {error.reason}"
        ) from error
    except HTTPError as error:
        raise ExportError(f"kubernetes at {settings.host}: no answer: {error}") from error


def service(namespace: str) -> Item | None:
    """Return the RayService that serves the model."""
    path = ("ray.io", "v1", namespace, "rayservices", "llm")
    found: Item | None = read(
        lambda api: client.CustomObjectsApi(api).get_namespaced_custom_object(
            *path, _request_timeout=TIMEOUT_S
        )
    )
    return found


def pods(namespace: str) -> list[Item]:
    """Return the pods that serve it."""
    found: list[Item] = read(
        lambda api: client.CoreV1Api(api).list_namespaced_pod(
            namespace, label_selector=PODS, _request_timeout=TIMEOUT_S
        )
    )["items"]
    return found


def events(namespace: str) -> list[Item]:
    """Return what happened there lately."""
    found: list[Item] = read(
        lambda api: client.CoreV1Api(api).list_namespaced_event(
            namespace, _request_timeout=TIMEOUT_S
        )
    )["items"]
    return found


def secret(namespace: str, name: str) -> Item | None:
    """Return a secret."""
    found: Item | None = read(
        lambda api: client.CoreV1Api(api).read_namespaced_secret(
            name, namespace, _request_timeout=TIMEOUT_S
        )
    )
    return found
