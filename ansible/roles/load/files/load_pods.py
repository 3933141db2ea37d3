"""What became of the pods of a load, when they do not answer: asked of the API server.

A runner in a pod is reached by a Service that is named after its Job and its index in it, as
k8s://NAMESPACE/JOB-INDEX:PORT.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import requests

from rca_benchmark.export.endpoint import Endpoint
from rca_benchmark.export.requesting import new_session

PROXIED = re.compile(
    r"(?P<api>.*?)/api/v1/namespaces/(?P<namespace>[^/]+)/services/(?P<job>[^/]+)-\d+:[^/]+/proxy"
)
LAST_WORDS = 5  # lines


def look(runner: Endpoint) -> tuple[bool, str]:
    """Whether a runner's Job has ended for good, and what its pods say; nothing where it is none.

    Raises:
        requests.RequestException: the API server does not answer either.
    """
    match = PROXIED.fullmatch(runner.url)
    if match is None:
        return False, ""
    api, namespace, job = match["api"], match["namespace"], match["job"]
    with new_session(replace(runner, url=api)) as session:

        def get(path: str, **query: str | int) -> requests.Response:
            return session.get(f"{api}{path}", params=query, timeout=30)

        found = get(f"/apis/batch/v1/namespaces/{namespace}/jobs/{job}")
        if found.status_code == 404:
            return True, f"the Job {namespace}/{job} is gone"
        found.raise_for_status()
        ended = bool(found.json().get("status", {}).get("failed"))
        selector = f"batch.kubernetes.io/job-name={job}"
        place = f"/api/v1/namespaces/{namespace}/pods"
        said = []
        for pod in get(place, labelSelector=selector).json()["items"]:
            name, phase = pod["metadata"]["name"], pod["status"].get("phase", "Unknown")
            if phase == "Failed" or not ended:
                log = get(f"{place}/{name}/log", container=last(pod), tailLines=LAST_WORDS)
                words = log.text.splitlines() if log.ok else []
                said.append(f"pod {name} is {phase}: {' / '.join([*reasons(pod), *words])}")
        return ended, "; ".join(said) or f"the pods of the Job {namespace}/{job} are gone"


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The states of a pod's containers, in the order in which they begin."""
    status = pod["status"]
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def last(pod: dict[str, Any]) -> str:
    """The container that was the last to begin."""
    begun = [c["name"] for c in containers(pod) if set(c.get("state", {})) - {"waiting"}]
    return str(begun[-1]) if begun else ""


def reasons(pod: dict[str, Any]) -> Iterator[str]:
    """Why a pod is as it is: evicted, out of memory, not to be placed, without its image."""
    status = pod["status"]
    states = [state for c in containers(pod) for state in c.get("state", {}).values()]
    unmet = [part for part in status.get("conditions", ()) if part["status"] == "False"]
    for part in (status, *states, *unmet):
        said = [str(part[key]) for key in ("reason", "exitCode", "message") if part.get(key)]
        if said:
            yield " ".join(said)
