"""Faults on a cluster, its controllers played: made, refused, stuck, swept, with the API away."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from cluster_api import Object
from faulty_cluster import TARGET, Cluster

PAUSE = {"fault": "pause", "target": TARGET, "seconds": 2}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.api.server.shutdown()
    cluster.api.server.server_close()


def number(name: str, printed: str) -> int:
    """The last number of a name in what a playbook printed as JSON."""
    return int(re.findall(rf'"{name}\\?": (\d+)', printed)[-1])


def test_a_fault_is_made_seen_and_taken_back_and_active_since_it_was_made(cluster: Cluster) -> None:
    cluster.shows_after_s = 6
    applied: list[Object] = []

    def inject(item: Object, real: Any = cluster.inject) -> None:
        real(item)
        applied.append(cluster.api.of_kind("PodChaos")[0])

    cluster.inject = inject  # type: ignore[method-assign]
    status, printed = cluster.play("inject-fault.yaml", **PAUSE)
    assert status == 0, printed[-3000:]
    (record,) = applied[0]["status"]["experiment"]["containerRecords"]
    at = int(datetime.fromisoformat(record["events"][0]["timestamp"]).timestamp()) * 10**9
    active, requested = number("active_ns", printed), number("requested_ns", printed)
    assert active == max(at, requested)
    assert number("seen_ns", printed) >= at
    evidence = re.findall(r'"at_ns\\?": (\d+)', printed)
    assert max(map(int, evidence)) - active >= 5 * 10**9
    assert number("removed_ns", printed) <= number("recovered_ns", printed)
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_what_is_made_but_shows_no_effect_is_no_injection(cluster: Cluster) -> None:
    cluster.shows_after_s = None
    quick = {"local": 10, "kubernetes": 2}
    status, printed = cluster.play("inject-fault.yaml", chaos_activation_timeout_s=quick, **PAUSE)
    assert status != 0
    assert "Wait until the system shows the effect" in printed
    assert "active_ns" not in printed
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_what_chaos_mesh_does_not_make_fails_with_its_reason(cluster: Cluster) -> None:
    cluster.injects = False
    status, printed = cluster.play("inject-fault.yaml", chaos_making_timeout_s=2, **PAUSE)
    assert status != 0
    reason = "does not make the fault: AllInjected False; container runtime is not there"
    assert reason in printed, printed[-3000:]
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_an_object_that_is_not_let_go_is_freed(cluster: Cluster) -> None:
    cluster.lets_go = "never"
    status, printed = cluster.play("inject-fault.yaml", **PAUSE)
    assert status == 0, printed[-3000:]
    assert not cluster.broken()
    patched = [about[:2] for about in cluster.api.log].count(("PATCH", "PodChaos"))
    assert patched == 2  # its controller was told to let go, then it was freed


def killed(cluster: Cluster) -> None:
    """Leave a fault whose controller was killed."""
    process = cluster.begin(**PAUSE)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert cluster.broken()
    assert len(list(cluster.records.iterdir())) == 1


def test_a_killed_controllers_fault_is_swept_though_the_api_is_away(cluster: Cluster) -> None:
    killed(cluster)
    cluster.away(12)
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_a_fault_on_a_stack_that_is_gone_is_swept(cluster: Cluster) -> None:
    killed(cluster)
    for service in ("ray-head", TARGET, "ray-replicas-1"):
        cluster.api.delete("Pod", service, "ray")
    cluster.api.react = lambda api, method, item: (
        api.delete("PodChaos", item["metadata"]["name"], "ray") if method == "DELETE" else None
    )
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()
    assert list(cluster.records.iterdir()) == []


def test_a_stuck_fault_without_a_record_is_swept_by_its_label(cluster: Cluster) -> None:
    killed(cluster)
    cluster.lets_go = "forced"
    shutil.rmtree(cluster.records)
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert not cluster.broken()
    patched = [about[:2] for about in cluster.api.log].count(("PATCH", "PodChaos"))
    assert patched == 1  # told to, its controller let go


def held_by_another(cluster: Cluster) -> None:
    about = {"name": "rca-llm-run", "namespace": "ray"}
    held = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"run": "other.run"}}
    cluster.api.put({**held, "metadata": about})


def test_a_fault_of_another_run_is_left_alone_while_that_holds_the_cluster(
    cluster: Cluster,
) -> None:
    held_by_another(cluster)
    marks = {
        "labels": {"rca-llm/fault": "pause"},
        "annotations": {"rca-llm/run": "other.run"},
    }
    about = {"name": "other-run-x", "namespace": "ray", **marks}
    fault = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos"}
    cluster.api.put({**fault, "metadata": about})
    status, printed = cluster.play("sweep-faults.yaml")
    assert status == 0, printed[-3000:]
    assert "other-run-x is left alone: it belongs to run other.run" in printed
    assert cluster.broken()
    status, printed = cluster.play("sweep-faults.yaml", take_over=True)
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


def test_the_stack_of_another_run_is_not_stopped(cluster: Cluster) -> None:
    held_by_another(cluster)
    status, printed = cluster.play("execute-experiment.yaml", "--tags=delete", run_id="mine")
    assert status != 0
    assert "run other.run holds the cluster: let it end, or add -e take_over=true" in printed
    assert cluster.api.log == []


def test_the_api_may_be_away_while_a_fault_is_made(cluster: Cluster) -> None:
    real, asked = cluster.api.answer, list[str]()

    def answer(method: str, url: str, body: Object | None, content: str) -> tuple[int, Any]:
        answered = real(method, url, body, content)
        if f"rca-llm/service={TARGET}" in unquote_plus(url) and not asked:
            asked.append(url)  # the measurement before the fault; next it is sent
            cluster.away(6)
        elif method == "POST" and "podchaos" in url:
            cluster.away(6)
        return answered

    cluster.api.answer = answer  # type: ignore[method-assign]
    status, printed = cluster.play("inject-fault.yaml", **PAUSE)
    assert asked
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


def test_the_api_may_be_away_while_a_fault_is_taken_back(cluster: Cluster) -> None:
    def away_for_a_while() -> None:
        while not cluster.broken():
            time.sleep(0.1)
        time.sleep(6)  # the fault is confirmed by then, and its window ends
        cluster.away(15)

    thread = threading.Thread(target=away_for_a_while)
    thread.start()
    status, printed = cluster.play("inject-fault.yaml", **{**PAUSE, "seconds": 8})
    thread.join()
    assert status == 0, printed[-3000:]
    assert not cluster.broken()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"fault": "pause", "target": "nginx-proxy"}, "unknown target of fault pause"),
        ({"fault": "cpu", "target": TARGET, "parameters": {"load": 101}}, "cpu: load: 101 lies"),
    ],
)
def test_what_cannot_be_is_refused(
    cluster: Cluster, variables: dict[str, object], message: str
) -> None:
    status, printed = cluster.play("inject-fault.yaml", **variables)
    assert status != 0
    assert message in printed, printed[-2000:]
    assert not cluster.broken()
