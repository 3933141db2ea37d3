"""End what k3s leaves running when it is stopped: containers, mounts, interfaces, rules, pins.

Stopping k3s leaves its pods alive on purpose. This program ends the containers' shims with all
their children, unmounts what lies at or below some folders (deepest first), and removes the
interfaces, network namespaces and packet filter chains of CNI plugins and what Cilium pinned in
the BPF file system.

Usage: cleanup.py --data-dir DIR --bpf-dir DIR FOLDER...

Prints what it did, one line each, or "unchanged". Runs with the machine's own Python, from 3.8 on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 10.0
INTERFACES = re.compile(
    r"^(cni0|flannel\.1|kube-ipvs0|cilium_(net|host|vxlan|geneve)|lxc_health|lxc[0-9a-f]+)$"
)
NAMESPACES = Path("/run/netns")
CHAIN = r"(?:OLD_)?(?:CILIUM_|KUBE-|CNI-|ISTIO_)\S*"


def command_line(pid: int) -> str:
    """Return a process's command line; "" when it has ended."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def parents() -> dict[int, int]:
    """Return the parent of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def container_processes(data_dir: str) -> list[int]:
    """Return the shims that k3s' own containerd started, with all their descendants."""
    tree = parents()
    shim = re.compile(rf"^{re.escape(data_dir)}/data/\S+/bin/containerd-shim")
    found = {pid for pid in tree if shim.match(command_line(pid))}
    while more := {pid for pid, parent in tree.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def end_containers(data_dir: str) -> Iterator[str]:
    """Kill containers until none is left.

    Raises:
        SystemExit: some do not end.
    """
    deadline = time.monotonic() + PATIENCE_S
    while pids := container_processes(data_dir):
        if time.monotonic() > deadline:
            sys.exit(f"cleanup.py: processes {pids} do not end")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                yield f"killed {pid}"
        time.sleep(0.2)


def mounts_below(folders: list[str], mountinfo: str) -> list[str]:
    """Return the mount points at or below some folders, deepest first."""
    points = [line.split()[4].replace("\\040", " ") for line in mountinfo.splitlines()]
    ours = [p for p in points if any(p == f or p.startswith(f + "/") for f in folders)]
    return sorted(ours, key=lambda point: (-point.count("/"), point))


def unmount(folders: list[str]) -> Iterator[str]:
    """Unmount everything at or below some folders."""
    for point in mounts_below(folders, Path("/proc/self/mountinfo").read_text()):
        subprocess.run(["umount", "--lazy", point], check=True)  # noqa: S607
        yield f"unmounted {point}"


def remove_interfaces() -> Iterator[str]:
    """Remove the interfaces that CNI plugins made."""
    for path in sorted(Path("/sys/class/net").iterdir()):
        if INTERFACES.match(path.name) and path.exists():  # one of a pair goes with the other
            subprocess.run(["ip", "link", "delete", path.name], check=True)  # noqa: S607
            yield f"removed interface {path.name}"


def remove_namespaces() -> Iterator[str]:
    """Remove the network namespaces that CNI plugins made."""
    if not NAMESPACES.is_dir():
        return
    for path in sorted(NAMESPACES.glob("cni-*")):
        subprocess.run(["ip", "netns", "delete", path.name], check=True)  # noqa: S607
        yield f"removed namespace {path.name}"


def without_chains(saved: str) -> str:
    """Return what makes `iptables-restore --noflush` remove the chains of CNI plugins.

    Nothing else is touched. `saved` is what iptables-save prints; "" is returned without chains.
    """
    lines: list[str] = []
    for table in re.split(r"^\*", saved, flags=re.MULTILINE)[1:]:
        chains = re.findall(rf"^:({CHAIN}) ", table, re.MULTILINE)
        jumps = re.findall(rf"^-A (.* -[jg] {CHAIN}.*)$", table, re.MULTILINE)
        ours = [f"-F {chain}" for chain in chains] + [f"-X {chain}" for chain in chains]
        others = [f"-D {rule}" for rule in jumps if rule.split()[0] not in chains]
        if ours:
            lines += [f"*{table.split()[0]}", *others, *ours, "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def remove_rules() -> Iterator[str]:
    """Remove the packet filters' chains that CNI plugins and the kubelet made."""
    for tool in ("iptables", "ip6tables"):
        if not shutil.which(f"{tool}-save"):
            continue
        saved = subprocess.run([f"{tool}-save"], check=True, capture_output=True, text=True).stdout
        if change := without_chains(saved):
            command = [f"{tool}-restore", "--noflush"]
            subprocess.run(command, check=True, input=change, text=True)
            yield f"removed chains of {tool}"


def remove_pins(folder: Path) -> Iterator[str]:
    """Remove what Cilium pinned in the BPF file system."""
    if (folder / "cilium").is_dir():
        shutil.rmtree(folder / "cilium")
        yield f"removed {folder / 'cilium'}"
    for path in sorted(folder.glob("tc/globals/cilium_*")):
        path.unlink()
        yield f"removed {path}"


def clean(data_dir: str, bpf_dir: str, folders: list[str]) -> Iterator[str]:
    """Do all of it; yields what was done."""
    yield from end_containers(data_dir)
    yield from unmount([data_dir, *folders])
    yield from remove_pins(Path(bpf_dir))
    if shutil.which("ip"):
        yield from remove_namespaces()
        yield from remove_interfaces()
    yield from remove_rules()


def main() -> None:
    """Clean up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--bpf-dir", required=True)
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    args = parser.parse_args()
    done = list(clean(args.data_dir, args.bpf_dir, args.folders))
    print("\n".join(done) if done else "unchanged")


if __name__ == "__main__":
    main()
