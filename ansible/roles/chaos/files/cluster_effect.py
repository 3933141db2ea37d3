"""Measure what a fault does to a service of a stack on Kubernetes, apart from what makes the fault.

Usage: cluster_effect.py cpu         --service S [--namespace N] --prometheus URL
       cluster_effect.py memory      --service S [--namespace N] --prometheus URL
       cluster_effect.py gpu         --service S [--namespace N] --prometheus URL
       cluster_effect.py round-trip  --service S [--namespace N] --port P --path PATH
       cluster_effect.py loss        --service S [--namespace N] --port P --path PATH
       cluster_effect.py rate        --service S [--namespace N] --port P --path PATH
       cluster_effect.py pod         --service S [--namespace N]

Prints JSON: {"at_ns": UTC epoch ns, ...}; which other keys, the function of each kind says. The
first three ask Prometheus; the next three ask the pod itself, through the API server, and time its
answers: what leaves the pod is what network faults hit. KUBECONFIG leads to the cluster.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import Endpoint, cluster_settings, resolve
from rca_benchmark.export.promql import instant_query
from rca_benchmark.export.requesting import new_session

LATELY = "20s"  # four scrapes
LABEL = "rca-llm/service"
GPU_METRICS = {"limits_w": "DCGM_FI_DEV_POWER_MGMT_LIMIT", "clocks_mhz": "DCGM_FI_DEV_SM_CLOCK"}
PROBES = {"round-trip": 5, "loss": 60, "rate": 3}
# A lost packet is sent again after at least this long (RFC 6298 says a second, Linux 200 ms).
RETRANSMISSION_S = 0.18
TIMEOUT_S = 30


class EffectError(Exception):
    """The effect cannot be measured; the message says why."""


def one_value(endpoint: Endpoint, query: str) -> float:
    """Return the value of a query that has one."""
    found = instant_query(endpoint, query)
    if len(found) != 1:
        raise EffectError(f"{endpoint.url}: {query!r} has {len(found)} values, not one")
    return found[0][1]


def cpu(endpoint: Endpoint, namespace: str, service: str) -> dict[str, Any]:
    """Cores that the container uses, and the share of quota periods in which it is held back."""
    container = f'{{namespace="{namespace}", container="{service}"}}[{LATELY}]'
    periods = f"sum(rate(container_cpu_cfs_periods_total{container}))"
    held = f"sum(rate(container_cpu_cfs_throttled_periods_total{container}))"
    used = f"sum(rate(container_cpu_usage_seconds_total{container}))"
    return {
        "cores": one_value(endpoint, used),
        "throttled_share": one_value(endpoint, f"{held} / ({periods} > 0)"),
    }


def memory(endpoint: Endpoint, namespace: str, service: str) -> dict[str, Any]:
    """Working set of the container."""
    query = (
        f'sum(container_memory_working_set_bytes{{namespace="{namespace}", container="{service}"}})'
    )
    return {"working_set_bytes": one_value(endpoint, query)}


def gpu(endpoint: Endpoint, namespace: str, service: str) -> dict[str, Any]:
    """What DCGM reads back of each GPU of the pod, UUID -> W or MHz; and the pod's node."""
    about = pod_of(namespace, service)
    pod = about["name"]
    found: dict[str, dict[str, float]] = {}
    for name, metric in GPU_METRICS.items():
        found[name] = {
            labels["UUID"]: value
            for label in ("pod", "exported_pod")
            for labels, value in instant_query(
                endpoint, f'last_over_time({metric}{{{label}="{pod}"}}[{LATELY}])'
            )
        }
        if not found[name]:
            raise EffectError(f"pod {pod} has no GPU of which {metric} is known")
    return {**found, "node": about["node"]}


def pod_of(namespace: str, service: str) -> dict[str, Any]:
    """Name and state of the service's pod: the youngest, while one replaces another."""
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        api = client.CoreV1Api(client.ApiClient(cluster_settings("kubernetes")))
        selector = f"{LABEL}={service}"
        pods: Any = api.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=30)
    except (ApiException, HTTPError) as error:
        raise EffectError(f"pods of {namespace}: {error}".splitlines()[0]) from error
    alive = [item for item in pods.items if not item.metadata.deletion_timestamp]
    if not alive:
        return {"name": None, "uid": None, "node": None, "ready": False, "restarts": 0}
    item = max(alive, key=lambda pod: pod.metadata.creation_timestamp)
    conditions = {c.type: c.status for c in item.status.conditions or []}
    restarts = sum(status.restart_count for status in item.status.container_statuses or [])
    about = {"name": item.metadata.name, "uid": item.metadata.uid, "node": item.spec.node_name}
    return {**about, "ready": conditions.get("Ready") == "True", "restarts": restarts}


def probe(endpoint: Endpoint, path: str, _: int) -> tuple[float, int]:
    """Ask the pod once, over a connection of its own: seconds and bytes of the answer."""
    begin = time.monotonic()
    with new_session(endpoint) as session:
        answer = session.get(f"{endpoint.url}/{path}", timeout=TIMEOUT_S)
    answer.raise_for_status()
    return time.monotonic() - begin, len(answer.content)


def round_trip(answers: list[tuple[float, int]]) -> dict[str, Any]:
    """Median time of an answer."""
    return {"round_trip_ms": 1000 * statistics.median(seconds for seconds, _ in answers)}


def loss(answers: list[tuple[float, int]]) -> dict[str, Any]:
    """Share of answers that came late by a retransmission."""
    seconds = sorted(seconds for seconds, _ in answers)
    usual = statistics.median(seconds[: max(1, len(seconds) // 4)])
    return {"lost_share": sum(s > usual + RETRANSMISSION_S for s in seconds) / len(seconds)}


def rate(answers: list[tuple[float, int]]) -> dict[str, Any]:
    """The best rate at which an answer came."""
    return {"rate_kbit": max(8 * size / seconds / 1000 for seconds, size in answers)}


ASKED: dict[str, Callable[[Endpoint, str, str], dict[str, Any]]] = {
    "cpu": cpu,
    "memory": memory,
    "gpu": gpu,
}
TIMED: dict[str, Callable[[list[tuple[float, int]]], dict[str, Any]]] = {
    "round-trip": round_trip,
    "loss": loss,
    "rate": rate,
}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure one kind of effect.

    Raises:
        EffectError, ExportError, requests.RequestException: it cannot be measured.
    """
    if args.kind in ASKED:
        endpoint = resolve("prometheus", args.prometheus)
        return ASKED[args.kind](endpoint, args.namespace, args.service)
    pod = pod_of(args.namespace, args.service)
    if args.kind == "pod":
        return pod
    if pod["name"] is None:
        raise EffectError(f"{args.namespace} has no pod of {args.service}")
    endpoint = resolve("pod", f"k8s://{args.namespace}/pod/{pod['name']}:{args.port}")
    number = PROBES[args.kind]
    with ThreadPoolExecutor(max_workers=8 if args.kind == "loss" else 1) as pool:
        answers = list(pool.map(lambda n: probe(endpoint, args.path, n), range(number)))
    return TIMED[args.kind](answers)


def main() -> None:
    """Print one measurement, or one line about why there is none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=(*ASKED, *TIMED, "pod"))
    parser.add_argument("--service", required=True)
    parser.add_argument("--namespace", default="ray")
    parser.add_argument("--prometheus", default="")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--path", default="metrics")
    args = parser.parse_args()
    try:
        effect = measure(args)
    except (EffectError, ExportError, requests.RequestException) as error:
        sys.exit(str(error).replace("\n", " "))
    print(json.dumps({"at_ns": time.time_ns(), **effect}))


if __name__ == "__main__":
    main()
