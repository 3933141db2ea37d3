"""Fixtures of the roles' programs: import one, run one, a throw-away stack, group and namespace.

Everything that the tests make carries the word `rcatest`, never a name of the real stack.
"""

import contextlib
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cluster_rendering import OTHERWISE, render

ANSIBLE = Path(__file__).resolve().parents[1]
SERVE_PYTHON = ANSIBLE.parent / ".venv-serve" / "bin" / "python"
ROLES = ("local_stack", "chaos", "experiment", "load", "model", "nvidia_operator", "telemetry")
FOLDERS = [ANSIBLE, *(ANSIBLE / "roles" / role / "files" for role in ROLES)]
GROUP = "rcatest"
SERVICES = ("rcatest-left", "rcatest-right")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a program by name, next to the programs that are installed beside it."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(folder)
    return importlib.import_module


@pytest.fixture
def run_program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program by name as the playbooks do, and return what it printed."""
    path = os.pathsep.join(str(folder) for folder in FOLDERS)

    def run(
        name: str, *arguments: object, stdin: str | None = None, prefix: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        file = next(f / f"{name}.py" for f in FOLDERS if (f / f"{name}.py").exists())
        return subprocess.run(
            [*prefix, sys.executable, str(file), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=120,
        )

    return run


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Poll until a condition holds; the limit only keeps a broken test from hanging."""

    def wait(condition: Callable[[], object], limit_s: float = 60) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.05)

    return wait


@pytest.fixture
def fake_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a shell script first on PATH under a command's name."""
    folder = tmp_path / "fake-commands"

    def make(name: str, script: str) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder / name

    return make


@pytest.fixture
def root() -> None:
    """Skip the test unless it may make namespaces and control groups."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if missing := [tool for tool in ("ip", "nsenter", "ping") if not shutil.which(tool)]:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture
def cgroups(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("cgroups")


@pytest.fixture
def hierarchy(root: None, cgroups: ModuleType) -> Any:
    """Return the kernel's own hierarchy; a throw-away group in it is removed at the end."""
    try:
        return cgroups.find_hierarchy()
    except cgroups.CgroupError as error:
        pytest.skip(str(error))


@pytest.fixture
def group(hierarchy: Any, cgroups: ModuleType) -> Iterator[str]:
    """Return the name of a throw-away control group that the test may create."""
    name = f"{GROUP}-{os.getpid()}"
    try:
        cgroups.create(hierarchy, name)
    except (OSError, cgroups.CgroupError) as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    try:
        yield name
    finally:
        cgroups.remove(hierarchy, name)


@pytest.fixture
def burn(cgroups: ModuleType, hierarchy: Any) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a process in a control group that uses all the CPU time it can get."""
    children = []

    def start(group: str) -> subprocess.Popen[bytes]:
        script = "read go; while :; do :; done"
        child = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
        children.append(child)
        cgroups.enter(hierarchy, group, child.pid)
        assert child.stdin
        child.stdin.write(b"go\n")
        child.stdin.close()
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def namespace(root: None) -> Iterator[str]:
    """Return the name of a throw-away network namespace with a loopback that is up."""
    name = f"rcatest-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"namespaces cannot be made here: {made.stderr}")
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def description(tmp_path: Path) -> dict[str, Any]:
    """Return the content of a STACK.json with two pods."""
    return {
        "bridge": "rcatest0",
        "gateway": "10.79.0.1",
        "prefix": 24,
        "log_dir": str(tmp_path / "logs"),
        "user": "nobody",
        "pods": {
            name: {"address": f"10.79.0.1{index}", "cpu": 0.5, "memory_bytes": 128 << 20}
            for index, name in enumerate(SERVICES)
        },
    }


@pytest.fixture
def throw_away(
    tmp_path: Path,
    hierarchy: Any,
    group: str,
    namespace: str,
    description: dict[str, Any],
    program: Callable[[str], ModuleType],
    cgroups: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SimpleNamespace]:
    """A stack of two empty pods under names of its own; whatever the test made is removed.

    It asks for a group and a namespace only to be skipped where they cannot be made.
    """
    pods = program("pods")
    if clash := [s for s in SERVICES if (pods.NAMESPACES / f"rca-{s}").exists()]:
        pytest.skip(f"namespaces of another test run exist: {clash}")
    monkeypatch.setattr(cgroups, "ROOT", GROUP)
    monkeypatch.setattr(pods, "RAY_FOLDER", tmp_path / "ray")
    file = tmp_path / "stack.json"
    file.write_text(json.dumps(description))
    stack = pods.Stack.load(file)
    try:
        yield SimpleNamespace(stack=stack, file=file, pods=pods, hierarchy=hierarchy)
    finally:
        with contextlib.suppress(cgroups.CgroupError):
            cgroups.remove(hierarchy, GROUP)
        pods.down(stack)


@pytest.fixture
def free_port() -> int:
    """Return a port of the loopback address that nobody holds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def serve_python() -> Path:
    """Return the interpreter of the serving environment."""
    if not SERVE_PYTHON.exists():
        pytest.skip("needs .venv-serve (make serve-environment)")
    return SERVE_PYTHON


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of the charts' own files and of the schemas of custom resources."""
    folder = Path(os.environ.get("RCA_LLM_SHARED", ANSIBLE.parents[1] / "shared"))
    if not (folder / "charts").is_dir():
        pytest.skip(f"needs {folder}/charts and /crds (variable RCA_LLM_SHARED)")
    return folder


@pytest.fixture(scope="session", params=[{}, OTHERWISE], ids=["defaults", "otherwise"])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render all templates, with the roles' defaults and with other values."""
    out = tmp_path_factory.mktemp("rendered")
    render(out, request.param)
    return out
