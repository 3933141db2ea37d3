"""A warm Python: Ansible's modules run in forks of a process that has imported what they need.

Without it most of a play's time goes by while each of its tasks starts Python anew, compiles
Ansible's module code and imports the client of Kubernetes. What runs is the same: the program that
Ansible sends, in a process of its own, with the caller's files, folder and environment.
"""

import atexit
import contextlib
import functools
import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType

IMPORTED = (
    "ansible.module_utils.basic",
    "ansible.module_utils.urls",
    "kubernetes.client",
    "kubernetes.config",
    "kubernetes.dynamic",
    *(
        f"ansible_collections.kubernetes.core.plugins.module_utils.k8s.{name}"
        for name in ("client", "core", "resource", "runner", "service", "waiter")
    ),
    "ansible_collections.kubernetes.core.plugins.module_utils.helm",
)
# What Ansible starts in place of Python: it hands its files and what it was told on, and waits.
CALLER = """#!{python} -SE
import marshal, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    told = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environb)))
    socket.send_fds(server, [len(told).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(told)
    answer = server.recv(1)
sys.exit(answer[0] if answer else 1)
"""


@functools.cache
def interpreter() -> str:
    """Return what to give Ansible as `ansible_python_interpreter`; it ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    path, caller = Path(folder.name, "socket"), Path(folder.name, "python")
    caller.write_text(CALLER.format(python=sys.executable, path=str(path)))
    caller.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, str(path)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert server.stdout is not None
    if server.stdout.read(1) != b"1":
        raise RuntimeError("the warm Python did not start")
    server.stdout.close()

    def end() -> None:
        server.terminate()
        server.wait()
        folder.cleanup()

    atexit.register(end)
    return str(caller)


def warm(inventory: Path) -> None:
    """Let the modules of an inventory's localhost run with it."""
    (inventory / "host_vars").mkdir()
    content = f"ansible_python_interpreter: {interpreter()}\n"
    (inventory / "host_vars" / "localhost.yaml").write_text(content)


def serve(path: str) -> None:
    """Import, say so, and fork for every caller."""
    for name in IMPORTED:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        os.write(1, b"1")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for these forks
        while True:
            caller, _ = server.accept()
            with caller:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    server.close()
                    attend(caller)


def attend(caller: socket.socket) -> None:
    """Run what a caller asks for, tell it the status, and end; end the program if it is gone."""
    size, files, _, _ = socket.recv_fds(caller, 4, 3)
    told = b""
    while len(told) < int.from_bytes(size, "big"):
        told += caller.recv(1 << 16)
    program = os.fork()
    if program == 0:
        caller.close()
        os.setsid()
        os._exit(run(files, *marshal.loads(told)))  # noqa: S302 - from our own caller
    ended = os.pidfd_open(program)
    ready, _, _ = select.select([ended, caller.fileno()], [], [])
    if ended not in ready:
        os.killpg(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    with contextlib.suppress(BrokenPipeError):
        caller.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
    os._exit(0)


def run(files: list[int], words: list[str], folder: str, environment: dict[bytes, bytes]) -> int:
    """Run a program, from a file or the standard input, as Python would; returns its status."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environment)
    sys.argv = words or [""]
    status = 0
    try:
        if words:
            runpy.run_path(words[0], run_name="__main__")
        else:
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), main.__dict__)  # noqa: S102
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does with whatever reaches its top
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(sys.argv[1])
