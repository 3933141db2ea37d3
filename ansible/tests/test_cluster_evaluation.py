"""Scoring on a cluster that is not there: KubeRay and its pods are played, what they run is real.

What Ray itself makes of it is in rca-benchmark/tests/evaluation/test_over_ray.py.
"""

import filecmp
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cluster_api import ClusterApi, Object, crd, free_port
from pandas.testing import assert_frame_equal
from warm_python import warm

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
EXCHANGE = ANSIBLE / "roles" / "evaluation" / "files" / "exchange.py"
METHODS = "baro,nsigma,random"
MEASURED = ["seconds", "cpu_seconds", "peak_mb"]
ABOUT = {"name": "evaluation", "namespace": "ray"}


class Cluster:
    """A cluster with KubeRay.

    Attributes:
        fails: what the job ends with, where it does not succeed.
        away_s: how long the API is away when the nodes are there, and again when all is scored.
        submitted: whether a job was submitted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.fails, self.away_s, self.submitted = folder, "", 0.0, False
        self.exchange: subprocess.Popen[bytes] | None = None
        self.nodes = threading.Thread()
        self.api = ClusterApi(self.react)
        for name in ("ray", "kuberay"):
            self.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.api.put(crd("ray.io", "v1", "RayJob"))
        self.inventory = folder / "inventory"
        shutil.copytree(ANSIBLE.parent / "inventories" / "example-cluster", self.inventory)
        warm(self.inventory)
        (self.inventory / ".secrets").mkdir()
        self.api.kubeconfig(self.inventory / ".secrets" / "kubeconfig")

    def react(self, api: ClusterApi, method: str, item: Object) -> None:
        """KubeRay: nodes come with the job and go with it."""
        if item["kind"] != "RayJob":
            return
        if method == "DELETE":
            api.delete("Pod", "head", "ray")
            self.stop()
        elif method == "POST":
            labels = {"rca-llm/evaluation": "head"}
            about = {"name": "head", "namespace": "ray", "labels": labels}
            api.put({"apiVersion": "v1", "kind": "Pod", "metadata": about})
            self.nodes = threading.Thread(target=self.run, args=(item,))
            self.nodes.start()

    def run(self, job: Object) -> None:
        """What the nodes do, until the job has ended."""
        head, worker = (self.folder / name for name in ("head", "worker"))
        for node in (head, worker):
            shutil.rmtree(node, ignore_errors=True)
            node.mkdir()
        self.leave_for_a_while()
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        program = [sys.executable, str(EXCHANGE)]
        self.exchange = subprocess.Popen([*program, "serve", str(head), f"--port={port}"])
        self.api.proxied["ray", "evaluation"] = url
        fetch = [*program, "fetch", f"{url}/data.tar", str(worker)]
        subprocess.run(fetch, check=True, capture_output=True, timeout=300)
        self.submitted = True
        status = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": self.fails}
        if not self.fails:
            self.score(job, head)
            status = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
        self.leave_for_a_while()
        self.api.put({"kind": "RayJob", "metadata": ABOUT, "status": status})

    def score(self, job: Object, head: Path) -> None:
        """Run the job on the head, with processes in place of Ray."""
        here = {"python": sys.executable, "--ray=auto": "--workers=1"}
        words = shlex.split(job["spec"]["entrypoint"])
        command = [here.get(word, word.replace("/scoring/", f"{head}/")) for word in words]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    def leave_for_a_while(self) -> None:
        self.api.down = self.away_s > 0
        time.sleep(self.away_s)
        self.api.down = False

    def stop(self) -> None:
        if self.exchange is not None:
            self.exchange.kill()
            self.exchange.wait()
            self.exchange = None

    def play(self, *options: str, **variables: Any) -> tuple[int, str]:
        """Score; returns the playbook's status and what it printed, in one line."""
        given = {
            "evaluation_dataset": str(self.folder / "demo set"),
            "evaluation_out": str(self.folder / "out"),
            "evaluation_methods": METHODS,
            "evaluation_seed": 7,
            "evaluation_poll_s": 1,
            "checksums": {"ray": {"all": "0" * 64}},
            **variables,
        }
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory), "evaluate.yaml"]
        done = subprocess.run(
            [*command, "-e", json.dumps(given), *options],
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            timeout=580,
            # A pip comes first that builds wheels at once.
            env={**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": str(self.folder)},
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def left(self) -> list[str]:
        """What a scoring has made and not removed."""
        kinds = ("RayJob", "Service", "ConfigMap", "Pod")
        return [item["metadata"]["name"] for kind in kinds for item in self.api.of_kind(kind)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pip = tmp_path / "pip" / "__main__.py"
    pip.parent.mkdir()
    (pip.parent / "__init__.py").touch()
    pip.write_text(
        "import pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--wheel-dir') + 1])\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "(folder / 'rca_llm-1-py3-none-any.whl').write_bytes(b'a wheel')\n"
    )
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop()
    cluster.api.server.shutdown()
    cluster.api.server.server_close()


@pytest.fixture
def dataset(cluster: Cluster) -> Path:
    """Two cases, each with a step in one service."""
    folder = cluster.folder / "demo set"
    rng = np.random.default_rng(1)
    for service in ("cart", "shop"):
        case = folder / f"{service}_cpu" / "1"
        case.mkdir(parents=True)
        names = [
            f"{name}_{metric}" for name in ("cart", "shop", "user") for metric in ("cpu", "mem")
        ]
        data = pd.DataFrame(rng.normal(10, 1, (60, len(names))), columns=names)
        data.loc[40:, f"{service}_cpu"] += 50
        data.insert(0, "time", range(1_700_000_000, 1_700_000_060))
        data.to_csv(case / "data.csv", index=False)
        (case / "inject_time.txt").write_text("1700000040")
    return folder


def results(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "results.parquet")


@pytest.mark.slow
def test_results_are_those_of_this_machine_and_only_what_is_missing_is_computed(
    cluster: Cluster, dataset: Path
) -> None:
    cluster.away_s = 3
    status, printed = cluster.play(evaluation_methods="baro,nsigma")
    assert status == 0, printed[-3000:]
    assert cluster.left() == []
    seen = filecmp.dircmp(cluster.folder / "worker" / "data" / dataset.name, dataset)
    assert (seen.left_list, seen.diff_files) == (seen.right_list, [])
    before = results(cluster.folder / "out")

    cluster.away_s = 0
    stale = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": ABOUT}
    cluster.api.put(
        {**stale, "status": {"jobDeploymentStatus": "Complete"}}
    )  # of a killed playbook
    status, printed = cluster.play()
    assert status == 0, printed[-3000:]
    assert cluster.left() == []
    after = results(cluster.folder / "out")
    kept = after[after["method"] != "random"].reset_index(drop=True)
    assert_frame_equal(kept, before)  # with the times
    assert (cluster.folder / "out" / "report.html").exists()

    here = [str(TOOLS / "rca-benchmark"), "evaluate", str(dataset), f"--methods={METHODS}"]
    out = ["--seed=7", f"--out={cluster.folder / 'here'}"]
    subprocess.run([*here, *out], check=True, capture_output=True)
    expected = results(cluster.folder / "here")
    assert len(expected) == 6
    assert_frame_equal(after.drop(columns=MEASURED), expected.drop(columns=MEASURED))


def test_a_job_that_fails_is_told_and_leaves_nothing(cluster: Cluster, dataset: Path) -> None:
    cluster.fails = "Job entrypoint command failed:\n" + "noise " * 200 + "\nmethod x needs y"
    status, printed = cluster.play()
    assert status != 0
    assert "the scoring did not succeed: FAILED ..." in printed, printed[-3000:]
    assert "noise method x needs y" in printed
    assert cluster.left() == []
    assert not (cluster.folder / "out").exists()


def test_a_dry_run_says_what_would_be_scored(cluster: Cluster, dataset: Path) -> None:
    status, printed = cluster.play("--check", evaluation_methods="all")
    assert status == 0, printed[-3000:]
    assert f"methods on {dataset}, on 2 Ray nodes of 4 cores" in printed
    assert cluster.api.log == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"platform": "local"}, "has no cluster: give INVENTORY=inventories/CLUSTER"),
        ({"checksums": {}}, "no digest of the image ray is pinned; run: versions.py lock"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_made(
    cluster: Cluster, variables: dict[str, Any], message: str
) -> None:
    status, printed = cluster.play(**variables)
    assert status != 0
    assert message in printed, printed[-2000:]
    assert not cluster.submitted


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ([], "rca-benchmark/evaluate-all.sh --out data/evaluation data/"),
        (["RAY=10.0.0.1:6379"], "rca-benchmark/evaluate-all.sh --ray 10.0.0.1:6379 --out "),
        (["RAY=auto", "INVENTORY=inventories/x"], "ansible-playbook -i ../inventories/x evaluate"),
    ],
)
def test_make_scores_where_it_is_told(given: list[str], command: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "evaluate", *given],
        cwd=ANSIBLE.parent,
        capture_output=True,
        text=True,
    )
    assert command in " ".join(done.stdout.split())
