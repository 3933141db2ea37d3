"""Check, before anything is changed, that a machine can be a k3s node.

Usage: preflight.py NEED       prints one line per problem and exits with 1, or nothing

NEED is JSON: {"system", "service_manager", "modules", "architecture", "architectures", "pinned",
               "kernel", "minimum_kernel", "address", "ports", "data_dir", "minimum_disk_gib"}

Runs with the machine's own Python, from 3.8 on, and needs nothing else.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEMS = ("Debian", "RedHat", "Suse")


def numbers(version: str) -> list[int]:
    """Return the first two numbers of a version: 5.10.0-33-amd64 gives [5, 10]."""
    return [int(part) for part in re.findall(r"[0-9]+", version)[:2]]


def k3s_runs() -> bool:
    """Tell whether k3s runs here already: then the ports are its own."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().startswith("k3s"):
                return True
    return False


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a port."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address is one of this machine's."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def has_module(name: str, kernel: str) -> bool:
    """Tell whether the kernel has a module: loaded, built in or to be loaded."""
    if Path("/sys/module", name).is_dir():
        return True
    listings = (Path("/lib/modules", kernel, f"modules.{kind}") for kind in ("builtin", "dep"))
    return any(f"/{name}.ko" in path.read_text() for path in listings if path.exists())


def kind(need: dict[str, Any]) -> Iterator[str]:
    """Yield problems with the kind of machine: system, architecture, kernel."""
    if need["system"] not in SYSTEMS:
        yield f"system {need['system']} is not among {', '.join(SYSTEMS)}"
    if need["service_manager"] != "systemd":
        yield f"k3s runs as a systemd service; this machine is run by {need['service_manager']}"
    if need["architecture"] not in need["architectures"]:
        supported = ", ".join(need["architectures"])
        yield f"architecture {need['architecture']} is not among {supported}"
    elif need["architecture"] not in need["pinned"]:
        yield f"no k3s is pinned for architecture {need['architecture']}; run: versions.py lock"
    if numbers(need["kernel"]) < numbers(need["minimum_kernel"]):
        yield f"kernel {need['kernel']} is older than {need['minimum_kernel']}"
    for name in need["modules"]:
        if not has_module(name, need["kernel"]):
            yield f"the kernel has no module {name}"


def place(need: dict[str, Any]) -> Iterator[str]:
    """Yield problems with its address: the kubelet takes one of the machine's own and no other."""
    for text in need["address"].split(","):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            yield f"node address {text} is no IP address; set k3s_node_address to the machine's own"
            continue
        if not is_own(address):
            yield f"no interface has the node address {text}; set k3s_node_address to one that does"


def room(need: dict[str, Any]) -> Iterator[str]:
    """Yield problems with its disk and ports."""
    folder = Path(need["data_dir"])
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free >> 30
    if free < need["minimum_disk_gib"]:
        yield f"{folder} has {free} GiB free, {need['minimum_disk_gib']} are needed"
    for port in need["ports"]:
        if not is_free(port) and not k3s_runs():
            yield f"port {port} is in use by another program (see: ss -ltnp)"


def main() -> None:
    """Print the problems."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    need = json.loads(sys.argv[1])
    found = [*kind(need), *place(need), *room(need)]
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
