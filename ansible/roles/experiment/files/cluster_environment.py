"""Describe a cluster as JSON: its nodes, what its pods run, what Helm installed.

KUBECONFIG leads to the cluster.

Usage: cluster_environment.py --namespaces A,B,...

Prints {"kubernetes": version,
        "nodes": [{"name", "kernel", "kubelet", "container_runtime", "gpus", "gpu_labels"}],
        "images": [{"namespace", "pod", "container", "image", "image_id"}],
        "helm_releases": [{"namespace", "name", "chart", "version", "values_sha256"}]}

Of pods and releases those in the given namespaces. Values hold secrets: only their hash is kept.
Sources: labels by NVIDIA's GPU feature discovery (product, memory, driver); Helm keeps a release in
a Secret, as gzipped JSON that is twice in base64 (helm.sh/docs/topics/advanced, storage backends).
"""

import argparse
import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import cluster_settings

Item = dict[str, Any]
GPU = "nvidia.com/gpu"  # the resource, and the first words of its labels
GPU_LABELS = (f"{GPU}.product", f"{GPU}.memory", f"{GPU}.count", "nvidia.com/cuda.")
RELEASES = "owner=helm,status=deployed"
TIMEOUT_S = 30


def ask(call: Callable[..., Any], **options: Any) -> Any:
    """Ask the API server; returns the JSON of its answer.

    Raises:
        ExportError: it does not answer, or refuses.
    """
    try:
        answer = call(_preload_content=False, _request_timeout=TIMEOUT_S, **options)
    except ApiException as error:
        raise ExportError(f"the cluster refuses: HTTP {error.status} {error.reason}") from error
    except HTTPError as error:
        raise ExportError(f"the cluster does not answer: {error}") from error
    return json.loads(answer.data)


def node(item: Item) -> Item:
    """Describe a node."""
    labels, status = item["metadata"].get("labels", {}), item["status"]
    about = status["nodeInfo"]
    return {
        "name": item["metadata"]["name"],
        "kernel": about["kernelVersion"],
        "kubelet": about.get("kubeletVersion"),
        "container_runtime": about.get("containerRuntimeVersion"),
        "gpus": int(status.get("capacity", {}).get(GPU, 0)),
        "gpu_labels": {k: v for k, v in sorted(labels.items()) if k.startswith(GPU_LABELS)},
    }


def images(pod: Item) -> list[Item]:
    """List what the containers of a pod run; `image_id` names the digest."""
    about = pod["metadata"]
    return [
        {
            "namespace": about["namespace"],
            "pod": about["name"],
            "container": container["name"],
            "image": container["image"],
            "image_id": container["imageID"],
        }
        for container in pod["status"].get("containerStatuses", [])
    ]


def release(secret: Item) -> Item:
    """Describe a Helm release.

    Raises:
        ExportError: the Secret holds none.
    """
    about = secret["metadata"]
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        kept = json.loads(gzip.decompress(packed))
        chart = kept["chart"]["metadata"]
        values = json.dumps(kept.get("config") or {}, sort_keys=True)
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise ExportError(f"secret {about['namespace']}/{about['name']}: no release") from error
    return {
        "namespace": about["namespace"],
        "name": kept["name"],
        "chart": chart["name"],
        "version": chart["version"],
        "values_sha256": hashlib.sha256(values.encode()).hexdigest(),
    }


def describe(namespaces: list[str]) -> Item:
    """Return what is said of the cluster."""
    api = client.ApiClient(cluster_settings("kubernetes"))
    core = client.CoreV1Api(api)
    pods = ask(core.list_pod_for_all_namespaces)["items"]
    secrets = ask(core.list_secret_for_all_namespaces, label_selector=RELEASES)["items"]
    found = [image for pod in pods for image in images(pod)]
    releases = [release(s) for s in secrets if s["metadata"]["namespace"] in namespaces]
    return {
        "kubernetes": ask(client.VersionApi(api).get_code)["gitVersion"],
        "nodes": [node(item) for item in ask(core.list_node)["items"]],
        "images": [image for image in found if image["namespace"] in namespaces],
        "helm_releases": sorted(releases, key=lambda item: (item["namespace"], item["name"])),
    }


def main() -> None:
    """Print the description, or one line about what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespaces", required=True)
    args = parser.parse_args()
    try:
        print(json.dumps(describe(args.namespaces.split(","))))
    except ExportError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
