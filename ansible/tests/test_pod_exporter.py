"""The pods' exporter: valid Prometheus text, and numbers that a real pod's kernel counters give."""

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import requests

SAMPLE = re.compile(
    r'(?P<metric>[a-zA-Z_:][a-zA-Z0-9_:]*)\{service="(?P<service>[^"\\\n]+)"\} '
    r"(?P<value>[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)"
)
START = "container_start_time_seconds"
# Lines of `ss -tinHO state established`: to a pod over IPv6, twice to itself, to an idle peer.
CONNECTIONS = """\
0      0      [::ffff:10.79.0.10]:8000  [::ffff:10.79.0.11]:51000 cubic rto:204 rtt:3.5/1.2 \
ato:40 lastsnd:12 lastrcv:12 lastack:12 retrans:1/3 pacing_rate 1Mbps
0      0      10.79.0.10:6379  10.79.0.10:51001 cubic rto:204 rtt:0.1/0.05 lastack:10
0      0      10.79.0.10:6379  127.0.0.1:51001 cubic rto:204 rtt:0.1/0.05 lastack:10
0      0      10.79.0.10:8000  10.79.0.1:51002 cubic rto:204 rtt:90/1.2 lastack:9000 retrans:0/3
"""
# The `Tcp:` lines of /proc/net/snmp.
COUNTERS = """\
Tcp: RtoAlgorithm RtoMin ActiveOpens CurrEstab InSegs OutSegs RetransSegs InErrs
Tcp: 1 200 120 9 40000 50000 17 0
"""
SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 8000)) as listener:
    print("listening", flush=True)
    connection, _ = listener.accept()
    left = 100_000
    while left > 0:
        left -= len(connection.recv(65536))
    print("received", flush=True)
    while connection.recv(65536):
        pass
"""
CLIENT = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 8000))
connection.sendall(bytes(100_000))
while True:
    connection.sendall(b"x")
    time.sleep(0.1)
"""


@pytest.fixture
def exporter(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("pod_exporter")


def parse(text: str) -> dict[str, dict[str, float]]:
    """Read Prometheus' text format: metric -> service -> value; a TYPE comes before each."""
    kinds: dict[str, str] = {}
    values: dict[str, dict[str, float]] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, metric, kinds[metric] = line.split()
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found["metric"] in kinds
            by_service = values.setdefault(found["metric"], {})
            assert found["service"] not in by_service
            by_service[found["service"]] = float(found["value"])
    assert all((kind == "counter") == m.endswith("_total") for m, kind in kinds.items())
    return values


@pytest.fixture
def faked(exporter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stack of two pods whose accounts are made up."""
    make = exporter.pods.Pod
    pods = [make(f"pod-{n}", f"10.79.0.1{n}", 0.5, 1 << 20, f"rcatest0p{n}") for n in (0, 1)]
    usage = {m: n + 0.5 for n, m in enumerate(exporter.HELP) if "_cpu_" in m or "_memory_" in m}
    network = {m: 10**15 + n for n, m in enumerate(exporter.HELP) if "_network_" in m}
    monkeypatch.setattr(exporter.cgroups, "usage", lambda _hierarchy, _group: usage)
    monkeypatch.setattr(exporter.cgroups, "members", lambda _hierarchy, _group: {1, 2})
    monkeypatch.setattr(exporter, "network", lambda _pod: network)
    monkeypatch.setattr(exporter, "start_time", lambda _pod: {START: 5.0})
    monkeypatch.setattr(exporter.pods, "read_process", lambda _pid, _file: b"")
    shown = SimpleNamespace(stdout=CONNECTIONS + COUNTERS)
    fake = SimpleNamespace(run=lambda *_arguments, **_options: shown)
    monkeypatch.setattr(exporter, "subprocess", fake)
    stack = SimpleNamespace(pods={pod.name: pod for pod in pods})
    return SimpleNamespace(stack=stack, pods=pods, expected=usage | network)


def test_every_pod_has_every_metric(exporter: ModuleType, faked: SimpleNamespace) -> None:
    values = parse(exporter.render(faked.stack, None, exporter.Disks()))
    assert set(values) == set(exporter.HELP)
    for metric, value in faked.expected.items():
        assert values[metric] == {"pod-0": value, "pod-1": value}


def test_promtool_accepts_the_text(exporter: ModuleType, faked: SimpleNamespace) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not on PATH")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exporter.render(faked.stack, None, exporter.Disks()),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_connections_to_itself_do_not_count_and_stale_ones_have_no_say(
    exporter: ModuleType, faked: SimpleNamespace
) -> None:
    assert exporter.tcp(faked.pods[0]) == {
        "container_tcp_connections": 2,
        "container_tcp_retransmits_total": 17,
        "container_tcp_round_trip_seconds": 0.0035,
    }


def test_a_pod_without_connections_has_no_round_trip(
    exporter: ModuleType, faked: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SimpleNamespace(run=lambda *_a, **_o: SimpleNamespace(stdout=COUNTERS))
    monkeypatch.setattr(exporter, "subprocess", silent)
    values = parse(exporter.render(faked.stack, None, exporter.Disks()))
    assert values["container_tcp_connections"] == {"pod-0": 0, "pod-1": 0}
    assert "container_tcp_round_trip_seconds" not in values


def inside(pod: Any, script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python script in a pod's network namespace."""
    command = ["ip", "netns", "exec", pod.namespace, sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_scrape_of_real_pods_sees_their_packets_and_connections(
    exporter: ModuleType, throw_away: SimpleNamespace
) -> None:
    if not shutil.which("ss"):
        pytest.skip("needs ss")
    throw_away.pods.up(throw_away.stack)
    left, right = throw_away.stack.pods.values()
    disks = exporter.Disks()
    calm = parse(exporter.render(throw_away.stack, throw_away.hierarchy, disks))
    assert calm["container_tcp_connections"] == {left.name: 0, right.name: 0}
    with inside(left, SERVER, left.address) as server:
        assert server.stdout
        assert server.stdout.readline() == "listening\n"
        with inside(right, CLIENT, left.address) as client:
            try:
                assert server.stdout.readline() == "received\n"
                busy = parse(exporter.render(throw_away.stack, throw_away.hierarchy, disks))
            finally:
                client.kill()
                server.kill()
    assert busy["container_tcp_connections"] == {left.name: 1, right.name: 1}
    assert all(seconds > 0 for seconds in busy["container_tcp_round_trip_seconds"].values())
    sent, received = (f"container_network_{way}_bytes_total" for way in ("transmit", "receive"))
    assert busy[sent][right.name] >= 100_000 > busy[received][right.name]
    assert busy[received][left.name] >= 100_000 > busy[sent][left.name]


def test_every_path_is_answered_with_the_current_text(
    exporter: ModuleType, faked: SimpleNamespace
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), exporter.handler(faked.stack, None)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
            answer = requests.get(url, timeout=30)
        finally:
            server.shutdown()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
    assert answer.text == exporter.render(faked.stack, None, exporter.Disks())


def test_disk_totals_never_fall(exporter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = {1: (100, 10), 2: (50, 0)}
    monkeypatch.setattr(
        exporter.pods,
        "read_process",
        lambda pid, _file: (
            b"rchar: 9\nread_bytes: %d\nwrite_bytes: %d\n" % accounts[pid]
            if pid in accounts
            else b""
        ),
    )
    disks, pod = exporter.Disks(), SimpleNamespace(name="pod-0")

    def totals() -> tuple[float, ...]:
        return tuple(disks.account(pod, {1, 2}).values())

    assert totals() == (150, 10)
    accounts[1] = (130, 10)
    assert totals() == (180, 10)
    del accounts[2]  # it ended
    assert totals() == (180, 10)
    accounts[2] = (20, 5)  # another one with its number
    assert totals() == (200, 15)


def test_the_start_is_that_of_the_main_process(
    exporter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time()
    with subprocess.Popen(["sleep", "30"]) as process:
        monkeypatch.setattr(exporter.pods, "main_process", lambda _pod: process.pid)
        started = exporter.start_time(None)[START]
        process.kill()
    assert started == pytest.approx(before, abs=2)

    def stopped(_pod: Any) -> int:
        raise exporter.pods.PodError("does not run")

    monkeypatch.setattr(exporter.pods, "main_process", stopped)
    assert exporter.start_time(None) == {}
