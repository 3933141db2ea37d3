"""The role telemetry on a cluster that is played: an export outlives an API server that is away."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cluster_api import ClusterApi
from cluster_back_ends import SERVICES, BackEnds

from rca_benchmark.dataset.native import read_manifest

ANSIBLE = Path(__file__).resolve().parents[1]
SECOND_NS = 1_000_000_000
PLAY = """
- hosts: localhost
  gather_facts: false
  roles: [telemetry]
"""


@pytest.fixture
def back_ends() -> Iterator[BackEnds]:
    """A stack that has run for two minutes."""
    played = BackEnds(lambda _: False)
    played.begun_s -= 120
    yield played
    played.server.shutdown()
    played.server.server_close()


@pytest.fixture
def api(back_ends: BackEnds) -> Iterator[ClusterApi]:
    """An API server that leads to it."""
    server = ClusterApi(lambda *_: None)
    server.proxied = {
        ("observability", "kube-prometheus-stack-prometheus"): f"{back_ends.url}/prometheus",
        ("observability", "loki"): f"{back_ends.url}/loki",
        ("observability", "otel-collector-files"): f"{back_ends.url}/spans",
        ("deepflow", "deepflow-server"): f"{back_ends.url}/deepflow",
    }
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """What a recording of the minute before the last left."""
    folder = tmp_path / "work"
    (folder / "load").mkdir(parents=True)
    end_ns = (int(time.time()) - 60) * SECOND_NS
    placement = {
        name: {"address": f"10.42.0.{number}", "node": "node-1", "pod": name}
        for number, name in enumerate(SERVICES)
    }
    documents = {
        "window.json": {"start_ns": end_ns - 60 * SECOND_NS, "end_ns": end_ns},
        "environment.json": {},
        "placement.json": placement,
        "load/load-summary.json": {"valid": False, "reason": "p99 late", "requests": 3},
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    (folder / "load" / "spans.jsonl").write_text("")
    pd.DataFrame({"request": [1]}).to_parquet(folder / "load" / "requests.parquet")
    return folder


def export(api: ClusterApi, work: Path, case: Path) -> tuple[int, str]:
    """Play the role; returns its status and what it printed, in one line."""
    play = work.with_name("play.yaml")
    play.write_text(PLAY)
    given = {
        "platform": "kubernetes",
        "ansible_python_interpreter": sys.executable,
        "cluster_kubeconfig": str(api.kubeconfig(work.with_name("kubeconfig"))),
        "telemetry_programs": str(ANSIBLE / "roles/telemetry/files"),
        "telemetry_work_dir": str(work),
        "telemetry_case_dir": str(case),
        "telemetry_retries": 60,
        "telemetry_delay_s": 1,
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,"]
    done = subprocess.run(
        [*command, "-v", "-c", "local", "-e", json.dumps(given), str(play)],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def be_away(api: ClusterApi, seconds: float, after: Path | None = None) -> None:
    """Drop every connection for longer than one attempt of a request and its repeats last."""
    while after is not None and not after.exists():
        time.sleep(0.02)
    api.down = True
    time.sleep(seconds)
    api.down = False


@pytest.mark.parametrize("fetched", [None, "spans"], ids=["at once", "once the spans are there"])
def test_an_export_waits_for_an_api_that_is_away(
    api: ClusterApi, work: Path, tmp_path: Path, fetched: str | None
) -> None:
    after = work / fetched if fetched else None
    away = threading.Thread(target=be_away, args=[api, 12, after])
    away.start()
    status, printed = export(api, work, tmp_path / "case")
    away.join()
    assert status == 0, printed[-3000:]
    assert set(pd.read_parquet(tmp_path / "case" / "traces.parquet")["serviceName"]) == set(
        SERVICES
    )
    load = read_manifest(tmp_path / "case")["quality"]["load"]
    assert load == {"valid": False, "reason": "p99 late"}
    assert "the load kept its schedule: no (p99 late)" in printed


def test_a_recording_whose_load_failed_is_exported_without_its_records(
    api: ClusterApi, work: Path, tmp_path: Path
) -> None:
    shutil.rmtree(work / "load")
    status, printed = export(api, work, tmp_path / "case")
    assert status == 0, printed[-3000:]
    assert "load" not in read_manifest(tmp_path / "case")["quality"]
    assert not (tmp_path / "case" / "requests.parquet").exists()


def test_what_cannot_pass_by_itself_is_not_waited_for(
    api: ClusterApi, work: Path, tmp_path: Path
) -> None:
    (work / "load" / "requests.parquet").unlink()
    status, printed = export(api, work, tmp_path / "case")
    assert status != 0
    assert "load/requests.parquet: no such file" in printed
    assert "RETRYING" not in printed
    assert not (tmp_path / "case").exists()
