"""Slow GPUs on a cluster: the power pod's program is real; kubelet, GPUs and DCGM are played."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_api import ClusterApi, Object
from cluster_back_ends import BackEnds
from faulty_cluster import ANSIBLE, TARGET, Cluster, stamp
from nvidia_smi_stand_in import Gpus

PROGRAM = ANSIBLE / "roles" / "chaos" / "files" / "power_cap.py"
SLOW = {"fault": "accelerator", "target": TARGET, "seconds": 2}
UNTOUCHED = [350.0, 1980.0]


class Dcgm(BackEnds):
    """Prometheus with what DCGM reads back of the target's one GPU."""

    def __init__(self, gpus: Gpus) -> None:
        super().__init__(lambda _: False)
        self.gpus = gpus

    def instant(self, query: str) -> Any:
        """Answer an instant query."""
        what = "power.limit" if "POWER_MGMT_LIMIT" in query else "clocks.sm"
        value = [time.time(), str(self.gpus.all(what)["GPU-a"])]
        found = [] if "exported_pod" in query else [{"metric": {"UUID": "GPU-a"}, "value": value}]
        return {"resultType": "vector", "result": found}


class GpuCluster(Cluster):
    """A cluster with GPUs, whose power pods are processes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gpus, self.programs = Gpus(folder), dict[str, subprocess.Popen[str]]()
        self.dcgm = Dcgm(self.gpus)
        prometheus = ("observability", "kube-prometheus-stack-prometheus")
        self.api.proxied[prometheus] = f"{self.dcgm.url}/prometheus"
        (folder / "state").mkdir()

    def react(self, _: ClusterApi, method: str, item: Object) -> None:
        """The kubelet: starts and ends a power pod's program."""
        about = item["metadata"]
        if item["kind"] == "Pod" and about.get("namespace") == "gpu-faults":
            if method == "DELETE":
                program = self.programs.pop(about["name"])
                program.terminate()
                program.wait(20)
            elif about["name"] not in self.programs:
                self.run(item)

    def run(self, item: Object) -> None:
        """Run a pod's program on this machine, and keep its state."""
        name, (container,) = item["metadata"]["name"], item["spec"]["containers"]
        places = {"/opt/rca-llm/power_cap.py": str(PROGRAM), "python": sys.executable}
        command = [places.get(part, part) for part in container["command"]]
        held = self.folder / f"{name}.held"
        command = [part.replace("=/state", f"={self.folder}/state") for part in command]
        self.programs[name] = subprocess.Popen(
            [part.replace("=/tmp/held", f"={held}") for part in command],
            env={**os.environ, "PATH": f"{self.gpus.folder}:{os.environ['PATH']}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self.watch, args=(item, held, self.programs[name])).start()

    def watch(self, item: Object, held: Path, program: subprocess.Popen[str]) -> None:
        """Tell the API when a program is ready, and how it ended."""
        while program.poll() is None and not held.exists():
            time.sleep(0.1)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": stamp(time.time())}
        if program.poll() is None:
            self.tell(item, {"phase": "Running", "conditions": [ready]})
        _, errors = program.communicate()
        phase = "Failed" if program.returncode else "Succeeded"
        ended = {"state": {"terminated": {"reason": "Error", "message": errors}}}
        self.tell(item, {"phase": phase, "conditions": [], "containerStatuses": [ended]})

    def tell(self, item: Object, status: Object) -> None:
        about = item["metadata"]
        if self.api.get("Pod", about["name"], about["namespace"]):
            self.api.put({**item, "status": status})

    def figures(self) -> list[float]:
        """Power limit and clock of the target's GPU."""
        return [self.gpus.all(what)["GPU-a"] for what in ("power.limit", "clocks.sm")]

    def broken(self) -> bool:
        """Whether the GPU is slow or a power pod is there."""
        pods = [p for p in self.api.of_kind("Pod") if p["metadata"]["namespace"] == "gpu-faults"]
        return self.figures() != UNTOUCHED or bool(pods)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[GpuCluster]:
    cluster = GpuCluster(tmp_path)
    yield cluster
    for program in cluster.programs.values():
        program.kill()
        program.wait()
    for server in (cluster.api.server, cluster.dcgm.server):
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("parameters", "slow"),
    [({}, [150.0, 1980.0]), ({"clock_mhz": 600}, [350.0, 600.0])],
)
def test_a_gpu_is_slowed_down_seen_and_put_back(
    cluster: GpuCluster, parameters: dict[str, int], slow: list[float]
) -> None:
    seen: list[list[float]] = []

    def tell(item: Object, status: Object, real: Any = cluster.tell) -> None:
        seen.append(cluster.figures())
        real(item, status)

    cluster.tell = tell  # type: ignore[method-assign]
    status, printed = cluster.play("inject-fault.yaml", **SLOW, parameters=parameters)
    assert status == 0, printed[-3000:]
    assert seen[0] == slow
    assert "active_ns" in printed
    assert not cluster.broken()
    assert list((cluster.folder / "state").iterdir()) == []


def test_a_limit_that_the_gpu_does_not_take_fails_with_its_reason(cluster: GpuCluster) -> None:
    status, printed = cluster.play("inject-fault.yaml", **SLOW, parameters={"power_limit_w": 50})
    assert status != 0
    assert "does not make the fault: Error; GPU-a takes 100 to 400 W, not 50 W" in printed
    assert not cluster.broken()


def left_slow(cluster: GpuCluster) -> None:
    """Leave a slow GPU whose controller was killed."""
    process = cluster.begin(**SLOW)
    while cluster.figures() == UNTOUCHED:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert cluster.figures()[0] == 150


def test_what_a_killed_pod_left_is_put_back_without_a_record(cluster: GpuCluster) -> None:
    left_slow(cluster)
    (program,) = cluster.programs.values()
    program.kill()
    program.wait()
    for record in cluster.records.iterdir():
        record.unlink()
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


def test_a_gpu_that_cannot_be_put_back_is_said_to_be_slow_and_swept_again(
    cluster: GpuCluster,
) -> None:
    left_slow(cluster)
    cluster.gpus.change("GPU-a", stuck=True)
    status, printed = cluster.play("sweep-faults.yaml")
    assert status != 0
    assert "GPU-a on node-1 may still be slowed down: Error; nvidia-smi" in printed
    assert len(list(cluster.records.iterdir())) == 1
    cluster.gpus.change("GPU-a", stuck=False)
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []
