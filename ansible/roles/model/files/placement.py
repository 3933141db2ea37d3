"""Check where a stack on Kubernetes runs, and print it: its placement record, as JSON.

Usage: placement.py --namespace NAMESPACE --prometheus URL --data N --tensor N --pipeline N
                    --timeout SECONDS --interval SECONDS

Every pod that serves has to hold as many GPUs as asked for, each GPU one pod; each replica that Ray
Serve runs has to be in pods of its own, one for each stage of its pipeline. What is not known or
not so yet is waited for. KUBECONFIG leads to the cluster.
"""

import argparse
import base64
import json
import sys
import time
from collections import Counter
from typing import Any

import kube

from rca_benchmark.errors import ExportError
from rca_benchmark.export.cluster import take_placement
from rca_benchmark.export.endpoint import Endpoint, resolve
from rca_benchmark.export.requesting import new_session, request_json

Places = dict[str, dict[str, Any]]
Replicas = dict[str, set[str]]  # addresses of the pods that each is in


def wrong_gpus(places: Places, pods: int, gpus: int) -> list[str]:
    """Return one line for every pod and GPU that is not as asked for."""
    found = [
        f"{service} on {place['node']} has {len(place['gpus'])} GPUs, not {gpus}"
        for service, place in places.items()
        if len(place.get("gpus", ())) not in (0, gpus)
    ]
    serving = [service for service, place in places.items() if place.get("gpus")]
    if len(serving) != pods:
        names = ", ".join(serving) or "none"
        found.append(f"{len(serving)} pods have GPUs, not {pods}: {names}")
    held = Counter(gpu for place in places.values() for gpu in place.get("gpus", ()))
    return found + [f"GPU {gpu} is held by {n} pods" for gpu, n in held.items() if n > 1]


def wrong_replicas(places: Places, replicas: Replicas, data: int, pipeline: int) -> list[str]:
    """Return one line for everything about replicas that is not as asked for.

    Args:
        places: the pods.
        replicas: as Ray Serve has them.
        data: how many there have to be.
        pipeline: how many pods each has to be in.
    """
    found = [] if len(replicas) == data else [f"{len(replicas)} replicas run, not {data}"]
    owners = {place["address"]: service for service, place in places.items()}
    held: Counter[str] = Counter()
    for replica, addresses in sorted(replicas.items()):
        services = sorted(owners.get(address, address) for address in addresses)
        held.update(services)
        if len(services) != pipeline:
            names = ", ".join(services)
            found.append(f"replica {replica} is in {len(services)} pods, not {pipeline}: {names}")
        found += [
            f"replica {replica} is in {service}, which is no pod with GPUs"
            for service in services
            if not places.get(service, {}).get("gpus")
        ]
    return found + [f"{service} holds {n} replicas" for service, n in held.items() if n > 1]


def with_replicas(places: Places, replicas: Replicas) -> Places:
    """Return the placement with the replica that each pod holds."""
    holds = {address: replica for replica, addresses in replicas.items() for address in addresses}
    return {
        service: place | ({"replica": holds[place["address"]]} if place["address"] in holds else {})
        for service, place in places.items()
    }


def dashboard(namespace: str) -> tuple[Endpoint, dict[str, str]]:
    """Return where Ray's dashboard answers, and the header that it asks for.

    KubeRay keeps the token in a secret that is named after the Ray cluster. The API server, through
    which requests go, takes the usual header for itself.

    Raises:
        ExportError: nothing is served, or the secret is missing.
    """
    status = (kube.service(namespace) or {}).get("status", {})
    cluster = status.get("activeServiceStatus", {}).get("rayClusterName")
    if not cluster:
        raise ExportError(f"namespace {namespace}: RayService llm has no Ray cluster that serves")
    secret = kube.secret(namespace, cluster)
    if secret is None:
        raise ExportError(f"namespace {namespace}: no secret {cluster}, which holds Ray's token")
    token = base64.b64decode(secret["data"]["auth_token"]).decode()
    endpoint = resolve("ray", f"k8s://{namespace}/llm-head-svc:8265")
    return endpoint, {"X-Ray-Authorization": f"Bearer {token}"}


def take_replicas(namespace: str, pipeline: int) -> Replicas:
    """Return the addresses of the pods that each running replica is in.

    A replica of several stages has actors in each of them, all in its placement group. Formats:
    docs.ray.io/en/latest/serve/api (ServeInstanceDetails), and the actors as the dashboard lists
    them.

    Raises:
        ExportError: Ray does not answer.
    """
    endpoint, headers = dashboard(namespace)
    session = new_session(endpoint)
    session.headers.update(headers)
    served = request_json(session, endpoint, "GET", "/api/serve/applications/", asked="replicas")
    running = [
        replica
        for application in served["applications"].values()
        for deployment in application["deployments"].values()
        for replica in deployment["replicas"]
        if replica["state"] == "RUNNING"
    ]
    found = {replica["replica_id"]: {replica["node_ip"]} for replica in running}
    if pipeline == 1:
        return found
    answer = request_json(session, endpoint, "GET", "/logical/actors", asked="actors")
    actors = answer["data"]["actors"]
    for replica in running:
        group = actors[replica["actor_id"]]["placementGroupId"]
        found[replica["replica_id"]] |= {
            actor["address"]["ipAddress"]
            for actor in actors.values()
            if actor["placementGroupId"] == group and actor["state"] == "ALIVE"
        }
    return found


def look(args: argparse.Namespace) -> tuple[Places, list[str]]:
    """Return the placement as it is now, and what is wrong with it.

    Raises:
        ExportError: somebody who has to know does not answer.
    """
    places = take_placement(args.namespace, resolve("prometheus", args.prometheus))
    replicas = take_replicas(args.namespace, args.pipeline)
    lines = wrong_gpus(places, args.data * args.pipeline, args.tensor)
    lines += wrong_replicas(places, replicas, args.data, args.pipeline)
    return with_replicas(places, replicas), lines


def main() -> None:
    """Look until all is right, or time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--prometheus", required=True)
    for name in ("--data", "--tensor", "--pipeline"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--timeout", "--interval"):
        parser.add_argument(name, type=float, required=True)
    args = parser.parse_args()
    deadline = time.monotonic() + args.timeout
    while True:
        try:
            places, lines = look(args)
        except ExportError as error:
            places, lines = {}, [str(error)]
        if not lines:
            print(json.dumps(places, indent=2))
            return
        if time.monotonic() > deadline:
            sys.exit("; ".join(lines))
        time.sleep(args.interval)


if __name__ == "__main__":
    main()
