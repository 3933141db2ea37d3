"""Run an experiment and show its leaderboard; leave no fault and no process behind.

The playbook does the work. This program outlives it: when the playbook fails, or is interrupted by
Ctrl-C or SIGTERM, it takes back the fault (sweep-faults.yaml) and stops the stack (--tags delete).
With --retries a long recording goes on by itself after a failure, on a fresh stack.

Usage: python run_experiment.py EXPERIMENT [--inventory DIR] [--run-id NAME] [--limit-cases N]
                                [--retries N] [-e KEY=VALUE | -e JSON]...
"""

import argparse
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ANSIBLE = Path(__file__).resolve().parent
REPOSITORY = ANSIBLE.parent
TOOLS = Path(sys.executable).parent
PATIENCE_S = 5.0  # for a playbook that was interrupted, before it is asked again


def may_become_root() -> bool:
    """Tell whether root can be had without a password.

    Raises:
        SystemExit: it cannot be had at all.
    """
    if os.geteuid() == 0:
        return True
    if not (sudo := shutil.which("sudo")):
        sys.exit("root is needed for namespaces and control groups: run as root, or install sudo")
    return subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0


@functools.cache
def platform_of(inventory: Path) -> str:
    """Return the platform that an inventory is for.

    Raises:
        SystemExit: the inventory cannot be read, or names none.
    """
    argv = [str(TOOLS / "ansible-inventory"), "-i", str(inventory), "--host", "localhost"]
    shown = subprocess.run(argv, cwd=ANSIBLE, capture_output=True, text=True)
    if shown.returncode != 0:
        sys.exit(shown.stderr.strip())
    platform = json.loads(shown.stdout).get("platform")
    if platform is None:
        sys.exit(f"{inventory}: platform is not set; it is local or kubernetes")
    return str(platform)


def command(inventory: Path, playbook: str, *options: str) -> list[str]:
    """Return the command line of a playbook; asks for sudo's password where there is one.

    Root is needed on this machine only: a cluster is reached through its API server.
    """
    ask = platform_of(inventory) == "local" and not may_become_root()
    password = ["--ask-become-pass"] if ask else []
    return [str(TOOLS / "ansible-playbook"), "-i", str(inventory), playbook, *password, *options]


def run_until_interrupted(argv: list[str]) -> int:
    """Run a command and return its exit status; 130 or 143 if SIGINT or SIGTERM ended it.

    Ctrl-C in a terminal reaches the command itself; a signal to this program alone is passed on.
    """
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: received.append(caught))
    child = subprocess.Popen(argv, cwd=ANSIBLE)
    while True:
        try:
            status = child.wait(timeout=PATIENCE_S if received else 0.5)
            return 128 + received[0] if received else status
        except subprocess.TimeoutExpired:
            if received:
                child.send_signal(signal.SIGINT)


def clean_up(inventory: Path, options: list[str]) -> None:
    """Take back faults and stop the stack, deaf to further signals."""
    print("\nThe experiment did not finish; taking back faults, stopping the stack ...", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for playbook, *more in (["sweep-faults.yaml"], ["execute-experiment.yaml", "--tags", "delete"]):
        argv = command(inventory, playbook, *options, *more)
        done = subprocess.run(argv, cwd=ANSIBLE, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stdout, file=sys.stderr)
            sys.exit(f"{playbook} failed; fix what it says above, then run: make uninstall")
    print("Done. Complete cases are kept; the same command goes on from there.", flush=True)


def execute(inventory: Path, options: list[str], run_dir: Path, retries: int) -> None:
    """Run the playbook until it succeeds; failures count anew after each case that was recorded.

    Raises:
        SystemExit: it was interrupted, or failed too often.
    """
    failures, recorded = 0, complete_cases(run_dir)
    while status := run_until_interrupted(command(inventory, "execute-experiment.yaml", *options)):
        if not (run_dir / "manifest.json").exists():  # nothing was started
            sys.exit(status)
        clean_up(inventory, options)
        before, recorded = recorded, complete_cases(run_dir)
        failures = 1 if recorded > before else failures + 1
        if status > 128 or failures > retries:
            sys.exit(status)
        print(f"{recorded} cases are recorded; starting again ...", flush=True)


def complete_cases(run_dir: Path) -> int:
    """Count the cases that a run has recorded so far."""
    return len(list(run_dir.glob("cases/*/case.json")))


def main() -> None:
    """Run the experiment and show the leaderboard."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="name of a file in configs/experiments")
    parser.add_argument("--inventory", type=Path, default=REPOSITORY / "inventories" / "local")
    parser.add_argument("--run-id", help="folder below data/runs (default: the experiment's name)")
    text = "record only the first N cases of the plan, in its order"
    parser.add_argument("--limit-cases", type=int, default=0, metavar="N", help=text)
    text = "after a failure start again, at most N times in a row without a new case (default: 0)"
    parser.add_argument("--retries", type=int, default=0, metavar="N", help=text)
    text = "set a variable of the playbooks, such as model_id; given as often as there are some"
    parser.add_argument(
        *("-e", "--extra-vars"), action="append", default=[], metavar="KEY=VALUE", help=text
    )
    args = parser.parse_args()
    plans = ANSIBLE / "configs" / "experiments"
    if not (plans / f"{args.experiment}.yaml").exists():
        known = " ".join(sorted(plan.stem for plan in plans.glob("*.yaml")))
        parser.error(f"there is no experiment '{args.experiment}'; choose one of: {known}")
    run_id = args.run_id or args.experiment
    inventory = args.inventory.resolve()
    variables = [*args.extra_vars, f"experiment={args.experiment}", f"run_id={run_id}"]
    if args.limit_cases:
        variables.append(f"limit_cases={args.limit_cases}")
    options = [part for variable in variables for part in ("-e", variable)]

    run_dir = REPOSITORY / "data" / "runs" / run_id
    execute(inventory, options, run_dir, args.retries)
    if not (run_dir / "evaluation").exists():  # controls alone
        print(f"Cases: {run_dir.relative_to(REPOSITORY)}; there is no answer to score in them")
        return
    shown = subprocess.run([TOOLS / "rca-benchmark", "report", run_dir / "evaluation"])
    if shown.returncode != 0:
        sys.exit(shown.returncode)
    print(f"Cases and results: {run_dir.relative_to(REPOSITORY)}")
    print(f"To open in a browser: {run_dir.relative_to(REPOSITORY)}/evaluation/report.html")


if __name__ == "__main__":
    main()
