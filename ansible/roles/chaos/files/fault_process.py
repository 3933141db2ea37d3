"""Processes that make a fault: started with a lease, found by a mark, ended without a pid file.

Each carries RCA_FAULT_ID in its environment, as do its children, so it can be found and ended after
any crash of what started it. `timeout` ends it when the lease is over even if nobody comes to undo
the fault.

Usage: fault_process.py start --id ID --lease SECONDS [--group GROUP] [--namespace NAME] -- CMD ...
       fault_process.py stop --id ID        ends them all; prints "changed" if there were any
       fault_process.py list --id ID        prints their process ids as JSON
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cgroups

MARK = "RCA_FAULT_ID"
GRACE_S = 3.0


def marked(fault_id: str) -> list[int]:
    """Return the ids of all processes that carry the mark of a fault."""
    wanted = f"{MARK}={fault_id}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, or of a privilege that even root may lack here: then it is none of ours.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def start(
    fault_id: str, lease_s: float, group: str | None, namespace: str | None, argv: list[str]
) -> None:
    """Start a command in the background, in a control group and a network namespace."""
    enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    lease = ["timeout", "--kill-after=5", str(lease_s)]

    def join_group() -> None:
        if group:
            cgroups.enter(cgroups.find_hierarchy(), group, os.getpid())

    subprocess.Popen(
        [*enter, *lease, *argv],
        env={**os.environ, MARK: fault_id},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=join_group,  # safe, for this program has one thread
    )


def stop(fault_id: str) -> bool:
    """End all processes of a fault, first kindly; True if there were any.

    Raises:
        SystemExit: a process does not end.
    """
    began = time.monotonic()
    found = marked(fault_id)
    if not found:
        return False
    while left := marked(fault_id):
        waited = time.monotonic() - began
        if waited > 2 * GRACE_S:
            sys.exit(f"fault_process.py: processes {left} of fault {fault_id} do not end")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if waited < GRACE_S else signal.SIGKILL)
        time.sleep(0.2)
    return True


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    starter = commands.add_parser("start")
    starter.add_argument("--lease", type=float, required=True)
    starter.add_argument("--group")
    starter.add_argument("--namespace")
    for command in (starter, commands.add_parser("stop"), commands.add_parser("list")):
        command.add_argument("--id", required=True)
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args, argv = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    if args.command == "start":
        if not argv:
            parser.error("start needs a command behind --")
        start(args.id, args.lease, args.group, args.namespace, argv)
    elif args.command == "stop":
        print("changed" if stop(args.id) else "unchanged")
    else:
        print(json.dumps(marked(args.id)))


if __name__ == "__main__":
    main()
