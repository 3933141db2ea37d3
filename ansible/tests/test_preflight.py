"""Preflight: one line per problem, before anything is changed."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def preflight(
    program: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """Return the program, on a machine where the stack's supervisor does not run."""
    module = program("preflight")
    monkeypatch.setattr(module, "PID_FILE", tmp_path / "supervisord.pid")
    return module


@pytest.fixture
def need(tmp_path: Path) -> dict[str, Any]:
    """Return requirements that any machine fulfils."""
    ray = tmp_path / "serve" / "bin" / "ray"
    ray.parent.mkdir(parents=True)
    ray.touch()
    return {
        "state_dir": str(tmp_path / "state" / "not" / "yet"),
        "serve_environment": str(tmp_path / "serve"),
        "bridge": "rcatest0",
        "gateway": "10.79.0.1",
        "prefix": 24,
        "pods": {"rcatest-left": {"address": "10.79.0.10", "cpu": 0.1}},
        "ports": [{"address": "10.79.0.1", "port": 14319}],
        "memory_mib": 1,
        "disk_mib": 1,
    }


@pytest.fixture
def supervisor() -> Iterator[int]:
    """Return the id of a process that looks like the stack's supervisor."""
    program = "import time; print('up', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", program, "supervisord"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # its command line can be read only when it runs
        yield child.pid
        child.kill()


def own(lines: list[str]) -> list[str]:
    """Leave out what this machine itself may lack: it is not what the test asks for."""
    return [line for line in lines if not line.startswith(("root is needed", "the local platform"))]


def test_a_machine_with_everything_gets_no_line(
    run_program: Run, preflight: ModuleType, need: dict[str, Any]
) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("needs root on Debian or Ubuntu")
    assert preflight.problems(need) == []
    done = run_program("preflight", stdin=json.dumps(need))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_problem_is_one_line_and_the_exit_status_is_1(
    run_program: Run, need: dict[str, Any]
) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("needs Debian or Ubuntu")
    wrong = need | {"serve_environment": "/nowhere", "disk_mib": 1 << 40}
    done = run_program("preflight", stdin=json.dumps(wrong))
    disk, serving = own(done.stdout.splitlines())
    assert done.returncode == 1
    assert disk.startswith(f"{need['state_dir']} needs {1 << 40} MiB of free disk, ")
    assert serving == "/nowhere has no Ray and vLLM; run: make serve-environment"


def test_cpu_limits_leave_a_share_for_telemetry(
    preflight: ModuleType, need: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(preflight.shutil, "which", lambda _name: "/usr/bin/apt-get")
    need["pods"] = {str(n): {"cpu": cpu} for n, cpu in enumerate((0.1, 1.1, 0.1, 0.3))}
    assert own(list(preflight.machine(need))) == []  # 1.6 of 2 cores, though floats say more
    need["pods"]["more"] = {"cpu": 0.1}
    (line,) = own(list(preflight.machine(need)))
    assert line == (
        "the CPU limits of local_stack_pods add up to 1.7 of 2 cores; leave at least 0.4 for "
        "telemetry and the load generator"
    )


def test_too_little_memory_counts_only_before_the_start(
    preflight: ModuleType, need: dict[str, Any], supervisor: int
) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("needs Debian or Ubuntu")
    need["memory_mib"] = 1 << 40
    (line,) = own(list(preflight.machine(need)))
    assert line.startswith(f"{1 << 40} MiB of memory are needed, ")
    preflight.PID_FILE.write_text(f"{supervisor}\n")
    assert own(list(preflight.machine(need))) == []


def test_another_system_gets_one_line_only(
    preflight: ModuleType, need: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda _name: None)
    (line,) = preflight.machine(need | {"disk_mib": 1 << 40})
    assert line == "the local platform needs Debian or Ubuntu: packages come from apt"


def test_missing_controllers_come_with_the_cure(
    preflight: ModuleType, need: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda _name: "/usr/bin/apt-get")
    find = preflight.cgroups.find_hierarchy
    monkeypatch.setattr(preflight.cgroups, "find_hierarchy", lambda: find(""))
    (line,) = own(list(preflight.machine(need)))
    assert line.startswith("no cgroup hierarchy")
    assert "systemd.unified_cgroup_hierarchy=1" in line


def test_a_taken_port_is_named_until_it_is_free(
    preflight: ModuleType, need: dict[str, Any], supervisor: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        need["ports"] = [{"address": "127.0.0.1", "port": port}]
        (line,) = preflight.ports(need)
        assert line.startswith(f"port {port} on 127.0.0.1: Address already in use (see: ss -ltnp)")
        assert line.endswith("(local_stack_*_port)")
        assert line in preflight.problems(need)
        preflight.PID_FILE.write_text(f"{supervisor}\n")
        assert line not in preflight.problems(need)
    assert list(preflight.ports(need)) == []


def test_a_stale_or_foreign_pid_file_is_no_running_stack(preflight: ModuleType) -> None:
    assert preflight.running() is False
    for content in (f"{2**22 + 1}\n", f"{os.getppid()}\n", ""):
        preflight.PID_FILE.write_text(content)
        assert preflight.running() is False


@pytest.fixture
def addresses(
    fake_command: Callable[[str, str], Path],
) -> Callable[..., None]:
    """Let `ip` show these addresses."""

    def show(**links: str) -> None:
        shown: list[dict[str, Any]] = [{}]  # what some versions print for links without address
        for name, network in links.items():
            local, _, prefix = network.partition("/")
            info = [{"local": local, "prefixlen": int(prefix)}]
            shown.append({"ifname": name, "addr_info": info})
        fake_command("ip", f"cat <<'END'\n{json.dumps(shown)}\nEND")

    return show


def test_an_overlapping_address_range_is_named_with_its_interface(
    preflight: ModuleType, need: dict[str, Any], addresses: Callable[..., None]
) -> None:
    addresses(lo="127.0.0.1/8", vpn="10.0.0.7/8", rcatest0="10.79.0.1/24")
    (line,) = preflight.network(need)
    assert line == (
        "address range 10.79.0.0/24 overlaps 10.0.0.0/8 of vpn; choose another in the inventory "
        "(local_stack_gateway, local_stack_pods)"
    )


def test_the_machines_own_addresses_are_seen(preflight: ModuleType, need: dict[str, Any]) -> None:
    if not shutil.which("ip"):
        pytest.skip("needs ip")
    lines = list(preflight.network(need | {"gateway": "127.0.0.1"}))
    assert any("overlaps 127.0.0.0/8 of lo" in line for line in lines)


def test_a_foreign_interface_is_not_taken_over(
    preflight: ModuleType, need: dict[str, Any], addresses: Callable[..., None]
) -> None:
    addresses()
    need |= {"bridge": "lo", "state_dir": need["serve_environment"]}
    (line,) = preflight.network(need)
    assert line == "a network interface lo exists and is not ours; set local_stack_bridge"
    Path(need["state_dir"], "stack.json").touch()
    assert list(preflight.network(need)) == []


def test_a_foreign_namespace_is_not_taken_over(
    preflight: ModuleType, need: dict[str, Any], root: None
) -> None:
    pod = f"test-{os.getpid()}"
    need["pods"] = {pod: {"cpu": 0.1}}
    subprocess.run(["ip", "netns", "add", f"rca-{pod}"], check=True)
    try:
        lines = list(preflight.network(need))
    finally:
        subprocess.run(["ip", "netns", "delete", f"rca-{pod}"], check=True)
    assert lines == [f"a network namespace rca-{pod} exists and is not ours; see: ip netns"]
