"""Check, before anything is changed, that this machine can carry the local stack.

Usage: preflight.py < REQUIREMENTS.json    prints one line per problem and exits with 1, or nothing

REQUIREMENTS.json: {"state_dir", "serve_environment", "bridge", "gateway", "prefix",
                    "pods": {NAME: {"address", "cpu"}}, "ports": [{"address", "port"}],
                    "memory_mib", "disk_mib"}
"""

import contextlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cgroups

RESERVED_CORES = 0.4  # for telemetry and the load generator
IP_FREEBIND = 15  # linux/in.h; the socket module does not name it
PID_FILE = Path("/run/rca-llm/supervisord.pid")


def machine(need: dict[str, Any]) -> Iterator[str]:
    """Yield problems with the machine itself: system, cores, memory, disk, kernel, rights."""
    if sys.platform != "linux" or not shutil.which("apt-get"):
        yield "the local platform needs Debian or Ubuntu: packages come from apt"
        return
    if os.geteuid() != 0:
        yield "root is needed for namespaces and control groups; run as root or with sudo"
    cores, wanted = os.cpu_count() or 1, sum(pod["cpu"] for pod in need["pods"].values())
    if round(wanted + RESERVED_CORES, 6) > cores:
        yield (
            f"the CPU limits of local_stack_pods add up to {wanted:g} of {cores} cores; leave at "
            f"least {RESERVED_CORES} for telemetry and the load generator"
        )
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(meminfo["MemAvailable"].split()[0]) // 1024
    if available < need["memory_mib"] and not running():
        yield f"{need['memory_mib']} MiB of memory are needed, {available} MiB are available"
    folder = Path(need["state_dir"])
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free >> 20
    if free < need["disk_mib"]:
        yield f"{need['state_dir']} needs {need['disk_mib']} MiB of free disk, {free} MiB are free"
    if not Path(need["serve_environment"], "bin", "ray").exists():
        yield f"{need['serve_environment']} has no Ray and vLLM; run: make serve-environment"
    try:
        cgroups.find_hierarchy()
    except cgroups.CgroupError as error:
        yield f"{error}; boot with cgroup version 2 (systemd.unified_cgroup_hierarchy=1)"


def running() -> bool:
    """Tell whether our own supervisor runs: then the ports and the network are ours."""
    try:
        command = Path("/proc", PID_FILE.read_text().strip(), "cmdline").read_bytes()
    except FileNotFoundError:
        return False
    return b"supervisord" in command


def ports(need: dict[str, Any]) -> Iterator[str]:
    """Yield the ports that another program holds."""
    for entry in need["ports"]:
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)  # the bridge may not exist yet
            try:
                probe.bind((entry["address"], entry["port"]))
            except OSError as error:
                yield (
                    f"port {entry['port']} on {entry['address']}: {error.strerror} "
                    "(see: ss -ltnp); choose another in the inventory (local_stack_*_port)"
                )


def network(need: dict[str, Any]) -> Iterator[str]:
    """Yield clashes of our bridge, address range and namespaces with what is there."""
    ours = ipaddress.ip_network(f"{need['gateway']}/{need['prefix']}", strict=False)
    shown = subprocess.run(
        ["ip", "-json", "-4", "addr"],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    for link in json.loads(shown.stdout):
        for entry in link.get("addr_info", []):  # some versions list other links as {}
            theirs = ipaddress.ip_network(f"{entry['local']}/{entry['prefixlen']}", strict=False)
            if ours.overlaps(theirs) and link["ifname"] != need["bridge"]:
                yield (
                    f"address range {ours} overlaps {theirs} of {link['ifname']}; choose another "
                    "in the inventory (local_stack_gateway, local_stack_pods)"
                )
    if Path(need["state_dir"], "stack.json").exists():
        return
    if Path("/sys/class/net", need["bridge"]).exists():
        yield f"a network interface {need['bridge']} exists and is not ours; set local_stack_bridge"
    for pod in need["pods"]:
        if Path("/run/netns", f"rca-{pod}").exists():
            yield f"a network namespace rca-{pod} exists and is not ours; see: ip netns"


def problems(need: dict[str, Any]) -> list[str]:
    """Return all problems, as one line each."""
    found = list(machine(need))
    if not running():
        if shutil.which("ip"):
            found += network(need)
        found += ports(need)
    return found


def main() -> None:
    """Print the problems."""
    found = problems(json.load(sys.stdin))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
