"""A cluster that is not there, whose controllers make faults: what the playbooks of faults meet."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from cluster_api import ClusterApi, Object, crd
from warm_python import warm

ANSIBLE = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
TARGET = "ray-replicas-0"
FORCED = "chaos-mesh.chaos-mesh.org/cleanFinalizer"
QUICK = {
    "model_image": "image@sha256:0",
    "chaos_letting_go_timeout_s": 3,
    "chaos_forced_timeout_s": 3,
    "chaos_api_pause_s": 1,
}


def stamp(seconds: float) -> str:
    """An instant (UTC epoch s) as the API says it: in whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Cluster:
    """A stack of one proxy, head and two replicas, with Chaos Mesh.

    Attributes:
        injects: whether Chaos Mesh does what it is told.
        shows_after_s: when the target suffers from what was injected; None: never.
        lets_go: when it removes its finalizers: "asked", "forced" or "never".
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.injects, self.lets_go = folder, True, "asked"
        self.shows_after_s: float | None = 0
        self.api = ClusterApi(self.react)
        for name in ("ray", "gpu-faults"):
            self.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for kind in ("StressChaos", "NetworkChaos", "PodChaos"):
            self.api.put(crd("chaos-mesh.org", "v1alpha1", kind))
        for service in ("nginx-proxy", "ray-head", TARGET, "ray-replicas-1"):
            self.api.put(pod(service, "True"))
        self.inventory = folder / "inventory"
        shutil.copytree(ANSIBLE.parent / "inventories" / "example-cluster", self.inventory)
        warm(self.inventory)
        (self.inventory / ".secrets").mkdir()
        self.api.kubeconfig(self.inventory / ".secrets" / "kubeconfig")
        self.records = self.inventory / ".cache" / "faults"

    def react(self, api: ClusterApi, method: str, item: Object) -> None:
        """Chaos Mesh: makes a pod fail while a PodChaos is there."""
        if item["kind"] != "PodChaos":
            return
        about = item["metadata"]
        forced = (about.get("annotations") or {}).get(FORCED) == "forced"
        if "deletionTimestamp" in about or method == "DELETE":
            if self.lets_go == "asked" or (forced and self.lets_go == "forced"):
                api.delete("PodChaos", about["name"], about["namespace"])
            if api.get("PodChaos", about["name"], about["namespace"]) is None:
                api.put(pod(TARGET, "True"))
        elif "finalizers" not in about:
            self.inject(item)

    def inject(self, item: Object) -> None:
        """Do, or fail to do, what a new object asks for."""
        done = "Succeeded" if self.injects else "Failed"
        event = {"operation": "Apply", "type": done, "timestamp": stamp(time.time())}
        if not self.injects:
            event["message"] = "container runtime\n is not there"
        record = {"id": f"ray/{TARGET}", "selectorKey": ".", "events": [event]}
        status = {
            "conditions": [{"type": "AllInjected", "status": str(self.injects)}],
            "experiment": {"containerRecords": [record]},
        }
        about = {**item["metadata"], "finalizers": ["chaos-mesh/records"]}
        self.api.put({**item, "metadata": about, "status": status})
        if self.injects and self.shows_after_s is not None:
            suffers = threading.Timer(self.shows_after_s, self.api.put, [pod(TARGET, "False")])
            suffers.start()

    def broken(self) -> bool:
        """Whether the target suffers or anything that breaks it is there."""
        target = self.api.get("Pod", TARGET, "ray")
        ready = target is None or target["status"]["conditions"][0]["status"] == "True"
        return not ready or bool(self.api.of_kind("PodChaos"))

    def away(self, seconds: float) -> None:
        """Let the API be away for a while."""
        self.api.down = True
        threading.Timer(seconds, setattr, [self.api, "down", False]).start()

    def command(self, playbook: str, *options: str, **variables: object) -> list[str]:
        given = json.dumps({**QUICK, **variables})
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory), playbook]
        return [*command, *options, "-e", given]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.folder)}

    def play(self, playbook: str, *options: str, **variables: object) -> tuple[int, str]:
        """Play a playbook; returns its status and what it printed, in one line."""
        done = subprocess.run(
            self.command(playbook, *options, **variables),
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=900,  # a guard
            env=self.environment(),
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def begin(self, **variables: object) -> subprocess.Popen[bytes]:
        """Start a long fault and wait until it is there."""
        process = subprocess.Popen(
            self.command("inject-fault.yaml", **{**variables, "seconds": 600}),
            cwd=ANSIBLE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment(),
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not self.broken():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return process


def pod(service: str, ready: str) -> Object:
    labels = {"rca-llm/service": service}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": service, "namespace": "ray", "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": service}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
