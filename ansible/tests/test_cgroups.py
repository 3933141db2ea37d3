"""Control groups: read on fake trees of both versions, made and removed on the real one."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SPLIT = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
"""
JOINT = """\
34 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:14 - cgroup cgroup rw,cpu,cpuacct
35 25 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:15 master:3 - cgroup cgroup rw,memory
"""
OTHERS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /mnt/nameless rw - tmpfs  rw,size=1k
"""
V1_FILES = {
    "cpu": {
        "cpu.stat": "nr_periods 40\nnr_throttled 10\nthrottled_time 2500000000\n",
        "cpu.shares": "1024\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.cfs_quota_us": "-1\n",
        "cgroup.procs": "7\n",
    },
    "cpuacct": {"cpuacct.usage": "1500000000\n", "cgroup.procs": "7\n"},
    "memory": {
        "memory.usage_in_bytes": "5000\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.stat": "cache 9\ntotal_inactive_file 1000\ntotal_rss 3000\n",
        "cgroup.procs": "7\n8\n",
    },
}
V2_FILES = {
    "cpu.stat": "usage_usec 1500000\nnr_periods 40\nnr_throttled 10\nthrottled_usec 2500000\n",
    "cpu.max": "max 100000\n",
    "cpu.weight": "100\n",
    "memory.current": "5000\n",
    "memory.max": "max\n",
    "memory.stat": "anon 3000\nfile 2000\ninactive_file 1000\n",
    "cgroup.procs": "7\n8\n",
}


def fill(folder: Path, files: dict[str, str]) -> None:
    """Write a group's files as the kernel would have them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture
def v1(cgroups: ModuleType, tmp_path: Path) -> Any:
    """Return a fake hierarchy of version 1 that holds the group `bench/pod`."""
    for controller, files in V1_FILES.items():
        fill(tmp_path / controller / "bench" / "pod", files)
    return cgroups.Hierarchy(1, {c: tmp_path / c for c in V1_FILES})


@pytest.fixture
def v2(cgroups: ModuleType, tmp_path: Path) -> Any:
    """Return a fake hierarchy of version 2 that holds the group `bench/pod`."""
    fill(tmp_path / "bench" / "pod", V2_FILES)
    return cgroups.Hierarchy(2, dict.fromkeys(cgroups.CONTROLLERS, tmp_path))


def unified(folder: Path, controllers: str | None) -> str:
    """Return the mountinfo line of a version 2 mount on a folder with these controllers."""
    if controllers is not None:
        (folder / "cgroup.controllers").write_text(controllers)
    return f"41 31 0:38 / {folder} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_is_found_with_one_mount_per_controller(cgroups: ModuleType) -> None:
    found = cgroups.find_hierarchy(OTHERS + SPLIT)
    assert found.version == 1
    assert found.mounts == {c: Path("/sys/fs/cgroup", c) for c in ("cpu", "cpuacct", "memory")}
    assert found.folders("a/b") == [
        Path("/sys/fs/cgroup", c, "a/b") for c in ("cpu", "cpuacct", "memory")
    ]


def test_version_1_is_found_with_a_joint_mount(cgroups: ModuleType) -> None:
    found = cgroups.find_hierarchy(OTHERS + JOINT)
    joint = Path("/sys/fs/cgroup/cpu,cpuacct")
    assert found.mounts["cpu"] == found.mounts["cpuacct"] == joint
    assert found.folders("a") == [joint / "a", Path("/sys/fs/cgroup/memory/a")]


def test_version_2_is_found_alone(cgroups: ModuleType, tmp_path: Path) -> None:
    found = cgroups.find_hierarchy(OTHERS + unified(tmp_path, "cpuset cpu io memory pids\n"))
    assert found.version == 2
    assert found.folders("a") == [tmp_path / "a"]


@pytest.mark.parametrize("controllers", ["", "cpuset pids\n", None])
def test_a_hybrid_system_falls_back_to_version_1(
    cgroups: ModuleType, tmp_path: Path, controllers: str | None
) -> None:
    text = unified(tmp_path, controllers)
    assert cgroups.find_hierarchy(text + SPLIT).version == 1
    assert cgroups.find_hierarchy(SPLIT + text).version == 1


@pytest.mark.parametrize("text", ["", OTHERS, OTHERS + JOINT.splitlines()[1]])
def test_no_usable_hierarchy_is_an_error(cgroups: ModuleType, text: str) -> None:
    with pytest.raises(cgroups.CgroupError, match="no cgroup hierarchy"):
        cgroups.find_hierarchy(text)


def test_version_1_is_limited_and_unlimited(cgroups: ModuleType, v1: Any, tmp_path: Path) -> None:
    cpu, memory = tmp_path / "cpu/bench/pod", tmp_path / "memory/bench/pod"
    cgroups.limit(v1, "bench/pod", 0.5, 1 << 20)
    assert (cpu / "cpu.cfs_period_us").read_text() == "20000"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "10000"
    assert (memory / "memory.limit_in_bytes").read_text() == "1048576"
    cgroups.unlimit_cpu(v1, "bench/pod")
    assert (cpu / "cpu.cfs_quota_us").read_text() == "-1"
    assert (memory / "memory.limit_in_bytes").read_text() == "1048576"


def test_version_2_is_limited_and_unlimited(cgroups: ModuleType, v2: Any, tmp_path: Path) -> None:
    pod = tmp_path / "bench/pod"
    cgroups.limit(v2, "bench/pod", 1.5, 1 << 20)
    assert (pod / "cpu.max").read_text() == "30000 20000"
    assert (pod / "memory.max").read_text() == "1048576"
    cgroups.unlimit_cpu(v2, "bench/pod")
    assert (pod / "cpu.max").read_text() == "max 20000"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_both_versions_give_the_same_account(
    cgroups: ModuleType, version: str, request: pytest.FixtureRequest
) -> None:
    assert cgroups.usage(request.getfixturevalue(version), "bench/pod") == {
        "container_cpu_usage_seconds_total": 1.5,
        "container_cpu_cfs_throttled_seconds_total": 2.5,
        "container_cpu_cfs_throttled_periods_total": 10,
        "container_cpu_cfs_periods_total": 40,
        "container_memory_working_set_bytes": 4000,
        "container_memory_rss": 3000,
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_members_are_those_of_all_groups_below(
    cgroups: ModuleType, version: str, request: pytest.FixtureRequest
) -> None:
    hierarchy = request.getfixturevalue(version)
    assert cgroups.members(hierarchy, "bench") == {7, 8}
    assert cgroups.members(hierarchy, "bench/pod") == {7, 8}
    assert cgroups.members(hierarchy, "absent") == set()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_process_enters_every_folder_of_a_group(
    cgroups: ModuleType, version: str, request: pytest.FixtureRequest
) -> None:
    hierarchy = request.getfixturevalue(version)
    cgroups.enter(hierarchy, "bench/pod", 42)
    assert cgroups.members(hierarchy, "bench") == {42}


def test_a_new_group_of_version_1_has_its_weight(
    cgroups: ModuleType, v1: Any, tmp_path: Path
) -> None:
    assert cgroups.create(v1, "bench/new", cpu_weight=1000) is True
    assert cgroups.create(v1, "bench/new", cpu_weight=1000) is False
    assert (tmp_path / "cpu/bench/new/cpu.shares").read_text() == "10240"
    assert (tmp_path / "memory/bench/new").is_dir()


def test_a_new_group_of_version_2_gets_its_controllers_from_its_parents(
    cgroups: ModuleType, v2: Any, tmp_path: Path
) -> None:
    assert cgroups.create(v2, "bench/pods/new") is True
    assert cgroups.create(v2, "bench/pods/new") is False
    for parent in (".", "bench", "bench/pods"):
        assert (tmp_path / parent / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert not (tmp_path / "bench/pods/new/cgroup.subtree_control").exists()
    assert (tmp_path / "bench/pods/new/cpu.weight").read_text() == "100"


def test_a_refused_write_names_file_and_value(cgroups: ModuleType, v2: Any, tmp_path: Path) -> None:
    (tmp_path / "bench/pod/cpu.max").unlink()
    (tmp_path / "bench/pod/cpu.max").mkdir()
    with pytest.raises(cgroups.CgroupError, match=r"cpu\.max: cannot write '10000 20000'"):
        cgroups.limit(v2, "bench/pod", 0.5, 1)


def test_removing_what_is_not_there_changes_nothing(cgroups: ModuleType, v1: Any) -> None:
    assert cgroups.remove(v1, "absent") is False


def test_empty_groups_are_removed_from_below(cgroups: ModuleType, v1: Any, tmp_path: Path) -> None:
    (tmp_path / "cpu/empty/a/b").mkdir(parents=True)
    (tmp_path / "memory/empty").mkdir()
    assert cgroups.remove(v1, "empty") is True
    assert not list(tmp_path.glob("*/empty"))
    assert (tmp_path / "cpu/bench/pod").is_dir()


def test_killing_what_runs_in_a_group_leaves_the_group(
    cgroups: ModuleType,
    hierarchy: Any,
    group: str,
    burn: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    child = burn(group)
    assert cgroups.kill(hierarchy, group) is True
    assert child.wait() == -signal.SIGKILL
    assert all(folder.is_dir() for folder in hierarchy.folders(group))
    assert cgroups.kill(hierarchy, group) is False


def test_a_group_that_stays_busy_is_an_error(
    cgroups: ModuleType, v1: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu/busy").mkdir()

    def refuse(_folder: Path) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rmdir", refuse)
    with pytest.raises(cgroups.CgroupError, match="busy: cannot remove it"):
        cgroups.remove(v1, "busy", patience_s=0)


def test_the_kernel_accounts_for_a_group_and_gives_it_back(
    cgroups: ModuleType,
    hierarchy: Any,
    group: str,
    burn: Callable[[str], subprocess.Popen[bytes]],
    wait_for: Callable[..., None],
) -> None:
    inner = f"{group}/pods/one"
    assert cgroups.create(hierarchy, inner) is True
    assert cgroups.create(hierarchy, inner) is False
    cgroups.limit(hierarchy, inner, 0.5, 64 << 20)
    child = burn(inner)
    assert cgroups.members(hierarchy, group) == {child.pid}
    throttled = "container_cpu_cfs_throttled_seconds_total"
    wait_for(lambda: cgroups.usage(hierarchy, inner)[throttled] > 0)
    account = cgroups.usage(hierarchy, inner)
    assert account["container_cpu_usage_seconds_total"] > 0
    assert account["container_cpu_cfs_throttled_periods_total"] > 0
    assert cgroups.remove(hierarchy, group) is True
    assert child.wait(timeout=30) == -signal.SIGKILL
    assert cgroups.remove(hierarchy, group) is False
    assert not any(folder.exists() for folder in hierarchy.folders(group))


def test_removing_a_group_spares_the_process_that_removes_it(
    cgroups: ModuleType, v1: Any, tmp_path: Path
) -> None:
    fill(tmp_path / "cpu/mine", {"cgroup.procs": f"{os.getpid()}\n"})
    with pytest.raises(cgroups.CgroupError, match="cannot remove it"):
        cgroups.remove(v1, "mine", patience_s=0)
