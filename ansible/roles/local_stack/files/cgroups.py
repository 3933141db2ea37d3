"""Control groups of the local stack, the same calls for cgroup v1 and v2.

Layout below each controller's mount point: `rca-llm/pods/<service>` for the pods,
`rca-llm/observation` for telemetry, `rca-llm/load` for the load generator. Kernel documentation:
https://docs.kernel.org/admin-guide/cgroup-v1/ and https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = "rca-llm"
CONTROLLERS = ("cpu", "cpuacct", "memory")
CPU_PERIOD_US = 20_000  # short, so that throttling delays a token by milliseconds, not by 100 ms


class CgroupError(Exception):
    """The kernel offers no usable controllers, or refused a change."""


@dataclass(frozen=True)
class Hierarchy:
    """Where the controllers are mounted: version 1 has one folder each, version 2 one for all."""

    version: int
    mounts: dict[str, Path]

    def folders(self, group: str) -> list[Path]:
        """Return the folders (without repeats) that make up one group, e.g. `rca-llm/load`."""
        return sorted({mount / group for mount in self.mounts.values()})


def find_hierarchy(mountinfo: str | None = None) -> Hierarchy:
    """Find the mounted controllers; a version 2 mount counts only if it has `cpu` and `memory`.

    Raises:
        CgroupError: neither version offers the CPU and memory controllers.
    """
    text = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_text()
    version1: dict[str, Path] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4])
        kind, _, options = after.split(" ", 2)  # the source in the middle may be empty
        if kind == "cgroup2":
            listing = mount / "cgroup.controllers"
            if listing.exists() and {"cpu", "memory"} <= set(listing.read_text().split()):
                return Hierarchy(2, dict.fromkeys(CONTROLLERS, mount))
        elif kind == "cgroup":
            version1 |= {c: mount for c in CONTROLLERS if c in options.split(",")}
    if set(version1) == set(CONTROLLERS):
        return Hierarchy(1, version1)
    raise CgroupError("no cgroup hierarchy with the cpu and memory controllers is mounted")


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        raise CgroupError(f"{path}: cannot write {value!r}: {error.strerror}") from error


def create(hierarchy: Hierarchy, group: str, cpu_weight: int = 100) -> bool:
    """Create a group and its parents with a CPU weight (100 is the kernel's default for any group).

    Returns:
        True if the group was not there before.
    """
    made = False
    for folder in hierarchy.folders(group):
        made |= not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    if hierarchy.version == 2:
        mount = hierarchy.mounts["cpu"]
        for parent in list((mount / group).relative_to(mount).parents)[::-1]:
            _write(mount / parent / "cgroup.subtree_control", "+cpu +memory")
        _write(mount / group / "cpu.weight", str(cpu_weight))
    else:
        _write(hierarchy.mounts["cpu"] / group / "cpu.shares", str(cpu_weight * 1024 // 100))
    return made


def limit(hierarchy: Hierarchy, group: str, cpu: float, memory_bytes: int) -> None:
    """Give a group at most `cpu` cores and `memory_bytes` of memory."""
    quota = int(cpu * CPU_PERIOD_US)
    cpu_folder, memory_folder = (hierarchy.mounts[c] / group for c in ("cpu", "memory"))
    if hierarchy.version == 2:
        _write(cpu_folder / "cpu.max", f"{quota} {CPU_PERIOD_US}")
        _write(memory_folder / "memory.max", str(memory_bytes))
    else:
        _write(cpu_folder / "cpu.cfs_period_us", str(CPU_PERIOD_US))
        _write(cpu_folder / "cpu.cfs_quota_us", str(quota))
        _write(memory_folder / "memory.limit_in_bytes", str(memory_bytes))


def memory_limit(hierarchy: Hierarchy, group: str) -> int:
    """Return a group's memory limit in bytes; a version 2 group without one counts as 2^63."""
    name = "memory.max" if hierarchy.version == 2 else "memory.limit_in_bytes"
    text = (hierarchy.mounts["memory"] / group / name).read_text().strip()
    return 2**63 if text == "max" else int(text)


def unlimit_cpu(hierarchy: Hierarchy, group: str) -> None:
    """Lift a group's CPU limit (used while a pod starts)."""
    folder = hierarchy.mounts["cpu"] / group
    if hierarchy.version == 2:
        _write(folder / "cpu.max", f"max {CPU_PERIOD_US}")
    else:
        _write(folder / "cpu.cfs_quota_us", "-1")


def enter(hierarchy: Hierarchy, group: str, pid: int) -> None:
    """Move a process into a group; its later children are born there."""
    for folder in hierarchy.folders(group):
        _write(folder / "cgroup.procs", str(pid))


def members(hierarchy: Hierarchy, group: str) -> set[int]:
    """Return the process ids in a group and the groups below it."""
    return {
        int(pid)
        for folder in hierarchy.folders(group)
        for listing in folder.rglob("cgroup.procs")
        for pid in listing.read_text().split()
    }


def _fields(path: Path) -> dict[str, int]:
    return {k: int(v) for k, v in (line.split() for line in path.read_text().splitlines())}


def usage(hierarchy: Hierarchy, group: str) -> dict[str, float]:
    """Read a group's account under cAdvisor's metric names (seconds, bytes, counts).

    The working set is usage without inactive file pages, as cAdvisor and the kubelet count it.
    """
    cpu, cpuacct, memory = (hierarchy.mounts[c] / group for c in CONTROLLERS)
    stat, memory_stat = _fields(cpu / "cpu.stat"), _fields(memory / "memory.stat")
    if hierarchy.version == 2:
        cpu_seconds = stat["usage_usec"] / 1e6
        throttled_seconds = stat.get("throttled_usec", 0) / 1e6
        memory_bytes = int((memory / "memory.current").read_text())
        inactive_file, resident = memory_stat["inactive_file"], memory_stat["anon"]
    else:
        cpu_seconds = int((cpuacct / "cpuacct.usage").read_text()) / 1e9
        throttled_seconds = stat["throttled_time"] / 1e9
        memory_bytes = int((memory / "memory.usage_in_bytes").read_text())
        inactive_file, resident = memory_stat["total_inactive_file"], memory_stat["total_rss"]
    return {
        "container_cpu_usage_seconds_total": cpu_seconds,
        "container_cpu_cfs_throttled_seconds_total": throttled_seconds,
        "container_cpu_cfs_throttled_periods_total": stat.get("nr_throttled", 0),
        "container_cpu_cfs_periods_total": stat.get("nr_periods", 0),
        "container_memory_working_set_bytes": max(0, memory_bytes - inactive_file),
        "container_memory_rss": resident,
    }


def _groups_below(hierarchy: Hierarchy, group: str) -> Iterator[Path]:
    for folder in hierarchy.folders(group):
        if folder.exists():
            yield from sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True)
            yield folder


def kill(hierarchy: Hierarchy, group: str, patience_s: float = 10) -> bool:
    """Kill every process in a group and the groups below it, but not the one that asks.

    Returns:
        True if there was any.

    Raises:
        CgroupError: a process outlived `patience_s`.
    """
    deadline, killed = time.monotonic() + patience_s, False
    while pids := members(hierarchy, group) - {os.getpid()}:
        killed = True
        if time.monotonic() > deadline:
            raise CgroupError(f"{group}: processes {sorted(pids)} do not end")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return killed


def remove(hierarchy: Hierarchy, group: str, patience_s: float = 10) -> bool:
    """Kill every process in a group and the groups below it, then remove the groups.

    Returns:
        True if there was anything to remove.

    Raises:
        CgroupError: a process or a group outlived `patience_s`.
    """
    kill(hierarchy, group, patience_s)
    deadline = time.monotonic() + patience_s
    folders = list(_groups_below(hierarchy, group))
    for folder in folders:
        _remove_folder(folder, deadline)
    return bool(folders)


def _remove_folder(folder: Path, deadline: float) -> None:
    """Remove one group; the kernel calls it busy until its last process has wholly ended."""
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise CgroupError(f"{folder}: cannot remove it: {error.strerror}") from error
            time.sleep(0.1)
        else:
            return
