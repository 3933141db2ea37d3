"""Pods: their description, their command line, and a real throw-away stack of two."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "roles" / "local_stack" / "files"
# The program itself, with the throw-away group and Ray folder instead of the real ones.
LAUNCHER = """
import sys
from pathlib import Path
import cgroups, pods
cgroups.ROOT, pods.RAY_FOLDER = sys.argv[1], Path(sys.argv[2])
del sys.argv[1:3]
pods.main()
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pods(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("pods")


@pytest.fixture
def stack_file(tmp_path: Path, description: dict[str, Any]) -> Path:
    """Write STACK.json and return where."""
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(description))
    return path


def test_pods_get_addresses_groups_and_interface_names(pods: ModuleType, stack_file: Path) -> None:
    stack = pods.Stack.load(stack_file)
    left, right = stack.pods.values()
    assert (left.name, left.address, left.veth) == ("rcatest-left", "10.79.0.10", "rcatest0p0")
    assert (right.namespace, right.veth) == ("rca-rcatest-right", "rcatest0p1")
    assert left.group.endswith("/pods/rcatest-left")
    assert stack.ray_folder(left) == stack.log_dir / "rcatest-left" / "ray"


def test_interface_names_fit_the_kernel(
    pods: ModuleType, stack_file: Path, description: dict[str, Any]
) -> None:
    one = description["pods"]["rcatest-left"]
    many = description | {"pods": {f"rcatest-{n}": one for n in range(100)}}
    stack_file.write_text(json.dumps(many))
    names = {pod.veth for pod in pods.Stack.load(stack_file).pods.values()}
    assert len(names) == 100
    assert max(map(len, names)) <= 15

    stack_file.write_text(json.dumps(many | {"bridge": "rcatest-bridge"}))
    with pytest.raises(pods.PodError, match="shorten the bridge's name"):
        pods.Stack.load(stack_file)


@pytest.mark.parametrize("command", ["run", "exec"])
def test_an_unknown_pod_is_one_line_that_names_the_known(
    run_program: Run, stack_file: Path, command: str
) -> None:
    done = run_program("pods", "--stack", stack_file, command, "ray-tail", "--", "true")
    assert done.returncode == 1
    assert done.stderr == (
        "pods.py: no pod 'ray-tail'; choose one of rcatest-left, rcatest-right\n"
    )


def test_an_unknown_group_is_one_line_that_names_the_known(
    run_program: Run, stack_file: Path
) -> None:
    done = run_program("pods", "--stack", stack_file, "group", "pods", "--", "true")
    assert done.returncode == 1
    assert done.stderr == "pods.py: no group 'pods'; choose one of observation, load\n"


def test_what_stands_behind_the_dashes_is_the_command(pods: ModuleType) -> None:
    args = pods.parse(["--stack", "s", "exec", "a", "--", "sh", "-c", "x --y", "--", "-z"])
    assert (args.name, args.argv) == ("a", ["sh", "-c", "x --y", "--", "-z"])
    args = pods.parse(["--stack", "s", "group", "--root", "load", "--", "ls", "-l"])
    assert (args.name, args.argv, args.root) == ("load", ["ls", "-l"], True)


@pytest.mark.parametrize("rest", [[], ["--"]])
def test_a_command_that_is_missing_is_asked_for(
    pods: ModuleType, rest: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        pods.parse(["--stack", "s", "exec", "a", *rest])
    assert "exec needs a command behind --" in capsys.readouterr().err


def test_a_command_runs_as_the_user_with_the_users_own_group(
    pods: ModuleType, stack_file: Path
) -> None:
    group = pwd.getpwnam("nobody").pw_gid
    prefix = pods.as_user(pods.Stack.load(stack_file), ["id"])
    assert prefix == ["setpriv", "--reuid=nobody", f"--regid={group}", "--init-groups", "id"]


def test_an_ended_process_has_no_files(pods: ModuleType) -> None:
    assert pods.read_process(2**22 + 1, "cmdline") == b""
    assert pods.read_process(os.getpid(), "cmdline") != b""


@pytest.mark.parametrize("deleted", [True, False])
def test_a_rule_that_cannot_be_deleted_hides_nothing_that_was_removed(
    pods: ModuleType, stack_file: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    monkeypatch.setattr(pods, "BRIDGE_FILTER", stack_file)
    monkeypatch.setattr(pods, "filter_rule", lambda _s, action: action == "--check" or deleted)
    monkeypatch.setattr(pods.cgroups, "find_hierarchy", lambda: None)
    monkeypatch.setattr(pods.cgroups, "remove", lambda _hierarchy, _group: True)
    monkeypatch.setattr(pods, "has_link", lambda _name: False)
    assert pods.down(pods.Stack.load(stack_file)) is True


def test_up_and_down_are_idempotent(throw_away: SimpleNamespace, cgroups: ModuleType) -> None:
    pods, stack = throw_away.pods, throw_away.stack
    empty = {name: {"namespace": False, "processes": []} for name in stack.pods}
    assert pods.status(stack) == {
        "bridge": False,
        "cgroup": throw_away.hierarchy.version,
        "pods": empty,
    }
    assert pods.up(stack) is True
    assert pods.up(stack) is False
    status = pods.status(stack)
    assert status["bridge"] is True
    assert all(pod == {"namespace": True, "processes": []} for pod in status["pods"].values())
    for group in ("load", "observation", *(f"pods/{name}" for name in stack.pods)):
        assert all(f.is_dir() for f in throw_away.hierarchy.folders(f"{cgroups.ROOT}/{group}"))

    assert pods.down(stack) is True
    assert pods.down(stack) is False
    assert pods.status(stack)["pods"] == empty
    assert not pods.has_link(stack.bridge)
    assert not pods.has_link(next(iter(stack.pods.values())).veth)
    if pods.BRIDGE_FILTER.exists():
        assert not pods.filter_rule(stack, "--check")


def test_pods_reach_each_other_and_the_host(throw_away: SimpleNamespace) -> None:
    throw_away.pods.up(throw_away.stack)
    left, right = throw_away.stack.pods.values()
    for address in (right.address, throw_away.stack.gateway):
        inside = ["ip", "netns", "exec", left.namespace]
        ping = [*inside, "ping", "-n", "-c", "1", "-W", "30", address]
        assert subprocess.run(ping, capture_output=True).returncode == 0


def test_limits_are_applied_and_lifted_for_the_start(
    throw_away: SimpleNamespace, cgroups: ModuleType
) -> None:
    pods, stack = throw_away.pods, throw_away.stack
    pods.up(stack)
    folder = throw_away.hierarchy.mounts["cpu"] / stack.pods["rcatest-left"].group
    name = "cpu.max" if throw_away.hierarchy.version == 2 else "cpu.cfs_quota_us"
    pods.limit(stack, start=True)
    assert (folder / name).read_text().split()[0] in ("max", "-1")
    pods.limit(stack, start=False)
    assert (folder / name).read_text().split()[0] == str(cgroups.CPU_PERIOD_US // 2)


def test_a_program_runs_in_its_pod_and_ends_with_it(
    throw_away: SimpleNamespace, cgroups: ModuleType, wait_for: Callable[..., None]
) -> None:
    for tool in ("tini", "setpriv", "unshare"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    pods, stack, pod = throw_away.pods, throw_away.stack, throw_away.stack.pods["rcatest-left"]
    pods.up(stack)
    program = [sys.executable, "-c", LAUNCHER, cgroups.ROOT, str(pods.RAY_FOLDER)]
    program += ["--stack", str(throw_away.file)]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*program, *arguments]
        return subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=120
        )

    refused = call("exec", pod.name, "--", "true")
    assert refused.returncode == 1
    assert refused.stderr == f"pods.py exec: {pod.name} does not run\n"

    child = subprocess.Popen(
        [*program, "run", pod.name, "--", "sleep", "600"], env=environment, cwd="/"
    )
    try:
        wait_for(lambda: call("exec", pod.name, "--", "true").returncode == 0)
        seen = call("exec", pod.name, "--", "sh", "-c", "id -un; cat /proc/1/comm; ls /dev/shm")
        assert seen.stdout.split() == ["nobody", "tini"]
        address = call("exec", pod.name, "--", "ip", "-4", "-o", "addr", "show", "eth0")
        assert pod.address in address.stdout
        assert child.pid in pods.status(stack)["pods"][pod.name]["processes"]
        assert child.poll() is None
        assert call("down").stdout == "changed\n"
        assert child.wait(timeout=60) != 0
        assert call("down").stdout == "unchanged\n"
    finally:
        child.kill()
        child.wait()
