"""Slow down, freeze or kill a replica's engine: the processes that compute, told by their titles.

vLLM titles its processes `VLLM::...`. Stopping them for a part of every period lets them compute
for the rest only, as an accelerator under a power cap does; what else runs in the pod is untouched.

Usage: engine.py throttle --group GROUP --share S    let the engine run S (0 to 1) of the time; 0:
                                                     freeze it. Until ended; then it runs freely
       engine.py continue --group GROUP              let it run; prints "changed" if it did not
       engine.py kill --group GROUP                  kill it once; prints the process ids as JSON
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import cgroups

TITLE = b"VLLM::"
PERIOD_S = 0.02  # like the CPU quota's: a token waits for milliseconds, not for 100 ms
LOOK_AGAIN_S = 1.0  # an engine that Serve replaces has new processes
STOPPED = "T"


def processes(group: str) -> list[int]:
    """Return the ids of the engine's processes in a pod's control group."""
    found = []
    for pid in cgroups.members(cgroups.find_hierarchy(), group):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(TITLE):
                found.append(pid)
    return sorted(found)


def state(pid: int) -> str:
    """Return a process's state as proc(5) names it; "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def throttle(group: str, share: float) -> NoReturn:
    """Stop the engine for the last part of every period, until this program is ended."""
    pids, looked = processes(group), time.monotonic()
    try:
        while True:
            begin = time.monotonic()
            if begin - looked > LOOK_AGAIN_S:
                pids, looked = processes(group), begin
            if share > 0:
                send(pids, signal.SIGCONT)
                time.sleep(share * PERIOD_S)
            send(pids, signal.SIGSTOP)
            time.sleep(max(0.0, begin + PERIOD_S - time.monotonic()))
    finally:
        send(processes(group), signal.SIGCONT)


def let_run(group: str) -> bool:
    """Let the engine run; True if it was stopped."""
    stopped = [pid for pid in processes(group) if state(pid) == STOPPED]
    send(stopped, signal.SIGCONT)
    return bool(stopped)


def kill(group: str) -> list[int]:
    """Kill the engine; returns the ids of its processes.

    Raises:
        SystemExit: there is none.
    """
    pids = processes(group)
    if not pids:
        sys.exit(f"engine.py: no process in {group} is titled {TITLE.decode()}...")
    send(pids, signal.SIGKILL)
    return pids


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    throttled = commands.add_parser("throttle")
    throttled.add_argument("--share", type=float, required=True)
    for command in (throttled, commands.add_parser("continue"), commands.add_parser("kill")):
        command.add_argument("--group", required=True)
    args = parser.parse_args()
    if args.command == "throttle":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        throttle(args.group, args.share)
    elif args.command == "continue":
        print("changed" if let_run(args.group) else "unchanged")
    else:
        print(json.dumps(kill(args.group)))


if __name__ == "__main__":
    main()
