"""Check where a stack on Kubernetes runs, and print it: its placement record, as JSON.

Usage: placement.py --namespace NAMESPACE --prometheus URL --pods N --gpus N [--patience SECONDS]

Every pod that serves has to hold as many GPUs as asked for, each GPU one pod; and as many pods have
to serve. What Prometheus does not know yet is waited for. KUBECONFIG leads to the cluster.
"""

import argparse
import json
import sys
import time
from collections import Counter
from typing import Any

from rca_benchmark.errors import ExportError
from rca_benchmark.export.cluster import take_placement
from rca_benchmark.export.endpoint import resolve

Places = dict[str, dict[str, Any]]


def wrong(places: Places, pods: int, gpus: int) -> list[str]:
    """Return one line for everything that is not as asked for."""
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


def main() -> None:
    """Look every five seconds until all is right, or time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--pods", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--patience", type=float, default=120)
    args = parser.parse_args()
    deadline = time.monotonic() + args.patience
    try:
        endpoint = resolve("prometheus", args.prometheus)
        while lines := wrong(
            places := take_placement(args.namespace, endpoint), args.pods, args.gpus
        ):
            if time.monotonic() > deadline:
                sys.exit("\n".join(lines))
            time.sleep(5)
    except ExportError as error:
        sys.exit(str(error))
    print(json.dumps(places, indent=2))


if __name__ == "__main__":
    main()
