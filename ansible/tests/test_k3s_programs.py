"""The programs that the k3s role runs on a node: what they find wrong, and what they take away."""

import ast
import http.server
import runpy
import signal
import subprocess
from pathlib import Path

import pytest
from saved_rules import SAVED

ROLES = Path(__file__).resolve().parents[1] / "roles"
K3S_FILES = ROLES / "k3s" / "files"
GPUS = ROLES / "nvidia_operator" / "files" / "gpus.py"
PREFLIGHT = runpy.run_path(str(K3S_FILES / "preflight.py"))
CLEANUP = runpy.run_path(str(K3S_FILES / "cleanup.py"))
FIT = {
    "system": "Debian",
    "service_manager": "systemd",
    "modules": [],
    "architecture": "amd64",
    "architectures": ["amd64", "arm64"],
    "pinned": ["amd64"],
    "kernel": "6.8.0-31-generic",
    "minimum_kernel": "5.10",
    "address": "127.0.0.1,::1",
    "ports": [],
    "data_dir": "/no/such/folder",
    "minimum_disk_gib": 0,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "Alpine"}, "system Alpine is not among Debian, RedHat, Suse"),
        ({"service_manager": "runit"}, "k3s runs as a systemd service; this machine is run by"),
        ({"architecture": "riscv64"}, "architecture riscv64 is not among amd64, arm64"),
        ({"architecture": "arm64"}, "no k3s is pinned for architecture arm64; run: versions.py"),
        ({"kernel": "5.4.0-190-generic"}, "kernel 5.4.0-190-generic is older than 5.10"),
        ({"modules": ["no_such_module"]}, "the kernel has no module no_such_module"),
        ({"address": "node-1.example"}, "node address node-1.example is no IP address; set"),
        ({"address": "203.0.113.7"}, "no interface has the node address 203.0.113.7"),
        ({"minimum_disk_gib": 10**6}, "GiB free, 1000000 are needed"),
    ],
)
def test_what_a_machine_lacks_is_named(changes: dict[str, object], message: str) -> None:
    need = {**FIT, **changes}
    (line,) = [line for part in ("kind", "place", "room") for line in PREFLIGHT[part](need)]
    assert message in line


def test_a_port_that_another_program_holds_is_named() -> None:
    with http.server.HTTPServer(("", 0), http.server.BaseHTTPRequestHandler) as holder:
        port = holder.server_address[1]
        (line,) = PREFLIGHT["room"]({**FIT, "ports": [port]})
    assert f"port {port} is in use by another program" in line
    assert [line for part in ("kind", "place") for line in PREFLIGHT[part](FIT)] == []


@pytest.mark.parametrize("path", [*K3S_FILES.glob("*.py"), GPUS], ids=lambda path: path.name)
def test_programs_run_with_a_nodes_own_old_python(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    imported = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "__future__" in imported  # without it `str | None` is evaluated, which 3.8 cannot


def test_what_runs_in_containers_is_found_and_ended(tmp_path: Path) -> None:
    shim = f"{tmp_path}/data/0f3a/bin/containerd-shim-runc-v2"
    script = "sleep 300 & echo $!; wait"
    with subprocess.Popen(
        [shim, "-c", script], executable="/bin/sh", stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        assert CLEANUP["container_processes"](str(tmp_path)) == sorted([process.pid, child])
        assert CLEANUP["container_processes"](str(tmp_path / "other")) == []
        assert f"killed {child}" in list(CLEANUP["end_containers"](str(tmp_path)))
        assert process.wait() == -signal.SIGKILL


def test_mounts_are_taken_away_from_the_deepest_up() -> None:
    points = ["/run/k3s/a", "/run/k3s", "/run/k3s-other", "/data/a\\040b/c", "/data", "/"]
    mountinfo = "".join(f"1 2 0:3 / {point} rw - tmpfs tmpfs rw\n" for point in points)
    assert CLEANUP["mounts_below"](["/run/k3s", "/data"], mountinfo) == [
        "/data/a b/c",
        "/run/k3s/a",
        "/run/k3s",
        "/data",
    ]


def test_interfaces_of_the_network_are_told_from_the_machines_own() -> None:
    ours = ["cilium_host", "cilium_net", "cilium_vxlan", "lxc_health", "lxc12ab34cd", "cni0"]
    theirs = ["eth0", "lxcbr0", "docker0", "rca0", "veth1a2b", "lo"]
    assert [name for name in ours + theirs if CLEANUP["INTERFACES"].match(name)] == ours


def test_only_chains_of_the_network_are_taken_out_of_the_packet_filter() -> None:
    assert CLEANUP["without_chains"](SAVED).splitlines() == [
        "*nat",
        '-D POSTROUTING -m comment --comment "cilium-feeder: CILIUM_POST_nat" -j CILIUM_POST_nat',
        "-F CILIUM_POST_nat",
        "-F OLD_CILIUM_POST_nat",
        "-X CILIUM_POST_nat",
        "-X OLD_CILIUM_POST_nat",
        "COMMIT",
    ]
