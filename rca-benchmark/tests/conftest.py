"""Fixtures of all suites: small seeded observations, a real Prometheus, a canned server."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    GroundTruth,
    Injection,
    Observation,
    typed_table,
)
from rca_benchmark.dataset.native import write_case
from rca_benchmark.export.base import Window

ROOT = Path(__file__).parents[2]
SECOND = 1_000_000_000
START = 1_795_417_200 * SECOND  # 2026-11-23T07:00:00Z
SERVICES = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")


def build_observation(metrics=None, *, before=40, after=20, culprit="ray-head", seed=0, **changes):
    """Gaussian noise, plus a step on all indicators of the culprit from row ``before`` on."""
    rows = before + after
    if metrics is None:
        rng = np.random.default_rng(seed)
        names = [f"{service}_{metric}" for service in SERVICES for metric in ("cpu", "latency-90")]
        metrics = pd.DataFrame({name: rng.normal(10, 1, rows) for name in names})
        metrics.loc[before:, [name for name in names if name.startswith(f"{culprit}_")]] += 50
    times = pd.Series(START + SECOND * np.arange(len(metrics)), name="time")
    fields = {
        "metrics": pd.concat([times, metrics], axis=1),
        "logs": typed_table([], LOG_COLUMNS),
        "traces": typed_table([], TRACE_COLUMNS),
        "topology": typed_table([("nginx-proxy", "ray-head", "call")], EDGE_COLUMNS),
        "inject_time_ns": START + SECOND * before,
        "sli": None,
        "services": SERVICES,
        "step_ns": SECOND,
    }
    return Observation(**(fields | changes))


def build_traces(services=SERVICES, *, before=40, after=20, culprit=None, seed=0):
    """One trace per second: the first service calls the second, that one of the others in turn.

    The culprit's own time is ten-fold from row ``before`` on, and its spans then end with 500.
    """
    rng = np.random.default_rng(seed)
    entry, middle, *leaves = services if len(services) > 1 else services * 2
    spans = []
    for row in range(before + after):
        path = list(dict.fromkeys((entry, middle, (leaves or [middle])[row % max(len(leaves), 1)])))
        broken = [row >= before and service == culprit for service in path]
        own = np.maximum(rng.normal(20_000, 2_000, len(path)), 1_000) * np.where(broken, 10, 1)
        start = START // 1000 + row * 1_000_000
        for depth, service in enumerate(path):
            parent = f"{row}-{depth - 1}" if depth else ""
            begin = start + int(own[:depth].sum() / 2)
            name = f"{service} work"
            spans.append(
                (f"{row}", f"{row}-{depth}", parent, service, name, name, begin,
                 int(own[depth:].sum()), 500 if any(broken[depth:]) else 200)
            )  # fmt: skip
    return typed_table(spans, TRACE_COLUMNS)


def build_logs(services=SERVICES, *, before=40, after=20, culprit=None):
    """Each service says something every other second; the culprit also complains."""
    lines = []
    for row in range(before + after):
        for place, service in enumerate(services):
            time = START + row * SECOND + place
            if row % 2:
                text = f"request {row} handled in {row % 7}.{place} ms"
                lines.append((time, service, "INFO", text, "out.log"))
            if service == culprit and row >= before:
                text = f"request {row} failed: connection reset by 10.0.0.{row}"
                lines.append((time, service, "ERROR", text, "out.log"))
    return typed_table(lines, LOG_COLUMNS)


@pytest.fixture
def make_traces():
    return build_traces


@pytest.fixture
def make_logs():
    return build_logs


@pytest.fixture
def make_observation():
    return build_observation


@pytest.fixture
def truth():
    injection = Injection(
        active_ns=START + 40 * SECOND,
        requested_ns=START + 39 * SECOND,
        removed_ns=START + 50 * SECOND,
        recovered_ns=START + 51 * SECOND,
        parameters={"workers": 2},
        evidence={"active": "load 2.0"},
    )
    return GroundTruth("ray-head", "cpu", injection, "ray-head_cpu")


@pytest.fixture
def make_dataset(tmp_path, truth):
    """Write a native data set of ``count`` cases; returns its folder."""

    def make(count=2, name="demo"):
        for number in range(count):
            write_case(
                tmp_path / name / f"cpu-ray-head-{number}",
                build_observation(seed=number, sli="nginx-proxy_latency-90"),
                truth,
                attachments={},
                absent=(),
                quality={},
            )
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def shared():
    """The folder of real fault data, which is not part of the project."""
    folder = Path(os.environ.get("RCA_LLM_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no shared fault data: set RCA_LLM_SHARED")
    return folder


@pytest.fixture(scope="session")
def fault_data(shared, tmp_path_factory):
    """The unpacked development set of real faults."""
    archive = shared / "data" / "dev.tar.zst"
    if not archive.is_file():
        pytest.skip(f"no {archive.name} in the shared fault data")
    if not (shutil.which("zstd") and shutil.which("tar")):
        pytest.skip("tar and zstd are needed to unpack the fault data")
    folder = tmp_path_factory.mktemp("fault-data")
    command = ["tar", "--zstd", "-xf", str(archive), "-C", str(folder)]
    subprocess.run(command, check=True)
    return folder


BASE = START // SECOND
SAMPLES = 60
GAP = range(20, 30)


@pytest.fixture
def window():
    """One minute, 61 steps of 1 s."""
    return Window(BASE * SECOND, (BASE + SAMPLES) * SECOND)


@pytest.fixture
def no_tick():
    return lambda _label: None


def mesh_series(caller):
    labels = {"source_canonical_service": caller, "destination_canonical_service": "ray-head"}
    text = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"mesh_total{{{text}}}"


def openmetrics():
    """Known series at 1 s: a counter, a gauge with a gap, two gauges of one service, ``up``."""
    series = {
        'cpu_total{service="ray-head"}': lambda second: 2 * second,
        'cpu_total{service="nginx-proxy"}': lambda second: 0.5 * second,
        'mem{service="ray-head"}': lambda second: None if second in GAP else 1000 + second,
        'part{service="ray-head",process="a"}': lambda _second: 1,
        'part{service="ray-head",process="b"}': lambda _second: 2,
        'nothing{service="ray-head"}': lambda _second: "NaN",
        'up{job="ray",service="ray-head"}': lambda second: 0 if 40 <= second < 45 else 1,
        'up{job="node",instance="127.0.0.1:1"}': lambda _second: 1,
        'bad{service="ray_head"}': lambda _second: 1,
        'node_time_seconds{node="here"}': lambda second: BASE + second + 0.25,
        mesh_series("nginx-proxy"): lambda second: second,
        mesh_series("unknown"): lambda second: second,
    }
    for name, value in series.items():
        for second in range(SAMPLES + 1):
            if value(second) is not None:
                yield f"{name} {value(second)} {BASE + second}"
    yield "# EOF\n"


@pytest.fixture(scope="session")
def prometheus_url(tmp_path_factory):
    """Address of a real Prometheus that holds the samples of ``openmetrics``."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("prometheus and promtool are not on PATH")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "samples.txt").write_text("\n".join(openmetrics()))
    (folder / "prometheus.yml").write_text("{}\n")
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(fill, cwd=folder, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://{address}")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_until_ready(url):
    for _ in range(200):
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/-/ready", timeout=5).ok:
                return
        time.sleep(0.1)
    raise AssertionError("prometheus did not become ready")


class CannedServer(ThreadingHTTPServer):
    """Answers with what ``answer(path_and_query, body)`` returns; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), CannedHandler)
        self.answer = answer
        self.asked = []
        self.headers = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class CannedHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        """A form counts as if it stood in the address."""
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.path += f"?{form}"
        self.do_GET()

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        status, body = self.server.answer(self.path)
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_args):
        """Quiet."""


@pytest.fixture
def serve():
    """Start a server for an ``answer`` function; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(answer, tls=None):
            server = stack.enter_context(CannedServer(answer))
            if tls is not None:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
                server.url = server.url.replace("http://", "https://")
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start
