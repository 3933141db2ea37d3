"""Wait until the model is served on Kubernetes.

Usage: ready.py --namespace NAMESPACE --timeout SECONDS --interval SECONDS

Ends at once when the RayService is gone. What is not ready in time is said in one line: each pod
with what it waits for, and what Ray Serve says. KUBECONFIG leads to the cluster.
"""

import argparse
import sys
import time

import kube
from kube import Item

from rca_benchmark.errors import ExportError

LONGEST = 400  # characters of a message, from its end: a traceback's last line says most


def condition(item: Item, kind: str) -> Item:
    """Return a condition of an object; empty where it has none."""
    found = item.get("status", {}).get("conditions", [])
    return next((dict(entry) for entry in found if entry["type"] == kind), {})


def said(about: Item) -> str:
    """Return a reason with its message."""
    return f"{about.get('reason', '')}: {about.get('message', '')[-LONGEST:]}".strip(": ")


def container_trouble(status: Item) -> list[str]:
    """Return what a container waits for, and how it ended last."""
    waits = status.get("state", {}).get("waiting")
    ended = [status.get(key, {}).get("terminated") for key in ("state", "lastState")]
    return ([said(waits)] if waits else []) + [
        f"ended with {end.get('reason', 'no reason')}, exit code {end['exitCode']}"
        for end in ended
        if end
    ]


def last_warning(events: list[Item], pod: str = "") -> list[str]:
    """Return the newest warning about a pod, else about anything."""
    warnings = [
        event
        for event in events
        if event.get("type") == "Warning" and pod in ("", event["involvedObject"]["name"])
    ]
    newest = sorted(warnings, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
    return [said(event) for event in newest[-1:]]


def pod_trouble(pod: Item, events: list[Item]) -> str:
    """Return why a pod is not ready; empty where it is."""
    if condition(pod, "Ready").get("status") == "True":
        return ""
    about, status = pod["metadata"], pod.get("status", {})
    containers = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    parts = [part for c in containers if not c.get("ready") for part in container_trouble(c)]
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        parts.append(said(scheduled))
    known = " ".join(parts)
    parts += [w for w in last_warning(events, about["name"]) if w.partition(": ")[2] not in known]
    name = about["labels"].get("rca-llm/service", about["name"])
    return f"{name} is {status.get('phase', 'new')} ({', '.join(parts) or 'no reason is known'})"


def serve_trouble(found: Item) -> list[str]:
    """Return what Ray Serve and KubeRay say about applications that do not run."""
    applications = [
        about
        for part in ("activeServiceStatus", "pendingServiceStatus")
        for about in found.get("status", {}).get(part, {}).get("applicationStatuses", {}).values()
    ]
    return [
        f"Serve is {about['status']}: {about.get('message', '')[-LONGEST:]}"
        for about in applications
        if about.get("status") not in (None, "RUNNING")
    ] or [said(condition(found, "Ready"))]


def trouble(namespace: str, found: Item) -> str:
    """Return everything that is not ready, in one line.

    Raises:
        ExportError: the API server does not answer.
    """
    pods, events = kube.pods(namespace), kube.events(namespace)
    lines = [pod_trouble(pod, events) for pod in pods] if pods else ["it has no pod"]
    if not pods:
        lines += last_warning(events)
    return "; ".join(filter(None, [*lines, *serve_trouble(found)]))


def wait(namespace: str, timeout_s: float, interval_s: float) -> None:
    """Look until the model is served.

    Raises:
        SystemExit: it is not in time, or its RayService is gone.
        ExportError: the API server did not answer when time was up.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() > deadline
        try:
            found = kube.service(namespace)
            if found is None:
                sys.exit(f"RayService llm is gone from namespace {namespace}: somebody deleted it")
            if condition(found, "Ready").get("status") == "True":
                return
            if late:
                why = " ".join(trouble(namespace, found).split())
                sys.exit(f"the model is not served after {timeout_s:g} s: {why}")
        except ExportError:  # it may come back
            if late:
                raise
        time.sleep(interval_s)


def main() -> None:
    """Wait; errors are one line and exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--interval", type=float, required=True)
    args = parser.parse_args()
    try:
        wait(args.namespace, args.timeout, args.interval)
    except ExportError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
