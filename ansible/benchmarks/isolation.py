"""Whether a fault on one replica reaches the other one: its step time and its CPU throttling.

Starts the stack of the local platform under a load so light that requests hardly ever meet: a
replica then works on one at a time, whichever the router sends it, so that its figures cannot
change because it carries more. Every replica is broken in turn; the other one is measured for as
long before as during the fault. Rounds without a fault, where each replica counts as the other one,
show what chance does. Figures are the differences of counters that the stack's Prometheus reads
from engines and control groups: seconds per step of an engine (between two tokens of an answer) and
seconds withheld by the CPU limit per CPU second used. Needs root, .venv-serve, and nothing else
running.
"""

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
PLAYBOOK = [str(TOOLS / "ansible-playbook"), "-i", str(ANSIBLE.parent / "inventories/local")]
RUN = ["execute-experiment.yaml", "-e", "experiment=smoke", "-e", "run_id=isolation"]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
REPLICAS = ("ray-replicas-0", "ray-replicas-1")
COUNTERS = {
    "used_s": "container_cpu_usage_seconds_total",
    "steps": "ray_vllm_inter_token_latency_seconds_count",
    "in_steps_s": "ray_vllm_inter_token_latency_seconds_sum",
    "throttled_s": "container_cpu_cfs_throttled_seconds_total",
}


def play(*arguments: str) -> None:
    """Run a playbook to its end; its failure is shown, and ends this program."""
    done = subprocess.run([*PLAYBOOK, *arguments], cwd=ANSIBLE, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-5000:] + done.stderr[-2000:])


def counters(service: str) -> dict[str, float]:
    """Return what a replica has counted so far."""
    found = {}
    for name, metric in COUNTERS.items():
        query = urllib.parse.urlencode({"query": f'sum({metric}{{service="{service}"}})'})
        with OPENER.open(f"http://127.0.0.1:19090/api/v1/query?{query}", timeout=30) as answer:
            found[name] = float(json.load(answer)["data"]["result"][0]["value"][1])
    return found


def figures(seconds: float) -> dict[str, tuple[float, float]]:
    """Watch for some seconds; return per replica s per step and s withheld per s used."""
    before = {replica: counters(replica) for replica in REPLICAS}
    time.sleep(seconds)
    found = {}
    for replica in REPLICAS:
        grown = {name: now - before[replica][name] for name, now in counters(replica).items()}
        if not grown["steps"]:
            sys.exit(f"{replica} generated nothing in {seconds:g} s: too short a time")
        found[replica] = (
            grown["in_steps_s"] / grown["steps"],
            grown["throttled_s"] / grown["used_s"],
        )
    return found


@contextmanager
def stack_under_load(rate: float) -> Iterator[None]:
    """Start the stack and a steady load; stop both at the end."""
    with tempfile.TemporaryDirectory() as folder:
        load = None
        try:
            play(*RUN, "--tags", "deploy")
            command = [str(TOOLS / "llm-benchmark"), "run", "--url=http://10.77.0.10:8080"]
            options = ["--provider=vllm", "--model=tiny-llama", "--arrivals=constant"]
            sizes = [f"--rate={rate}", "--duration=7200s", "--prompt-tokens=48"]
            command += [*options, *sizes, "--output-tokens=24", f"--out={folder}/load"]
            quiet = subprocess.DEVNULL
            load = subprocess.Popen(command, stdout=quiet, stderr=quiet)
            time.sleep(20)  # the first requests take long
            yield
        finally:
            if load is not None:
                load.send_signal(signal.SIGINT)
                load.wait()
            play("sweep-faults.yaml")
            play(*RUN, "--tags", "delete")


@contextmanager
def broken(fault: str, target: str, seconds: int) -> Iterator[None]:
    """Make a fault that is there when this begins; at the end wait until it is taken back."""
    told = ["-e", f"fault={fault}", "-e", f"target={target}", "-e", f"seconds={seconds + 5}"]
    command = [*PLAYBOOK, "inject-fault.yaml", *told]
    with subprocess.Popen(command, cwd=ANSIBLE, stdout=subprocess.PIPE, text=True) as playing:
        lines = iter(playing.stdout or ())
        for line in lines:
            if re.search(r"s +Watch the fault", line):
                break
        yield
        rest = "".join(lines)
    if playing.returncode:
        sys.exit(rest[-5000:])


def measured(fault: str, target: str, seconds: int) -> dict[str, tuple[float, ...]]:
    """Return by replica the relative changes of its figures from before to during the fault."""
    before = figures(seconds)
    if fault == "none":
        during = figures(seconds)
    else:
        with broken(fault, target, seconds):
            during = figures(seconds)
        time.sleep(5)
    return {
        replica: tuple(
            new / old - 1 for new, old in zip(during[replica], before[replica], strict=True)
        )
        for replica in REPLICAS
    }


def show(title: str, changes: Sequence[tuple[float, ...]]) -> None:
    """Print a line of the table: median and range of each figure's change."""
    cells = []
    for figure in zip(*changes, strict=True):
        middle = statistics.median(figure)
        cells.append(f"{middle:+.1%} ({min(figure):+.1%} to {max(figure):+.1%})")
    print(f"{title:28}{cells[0]:>30}{cells[1]:>34}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="per fault and target (default: 3)")
    add("--seconds", type=int, default=30, help="before and during a fault (default: 30)")
    add("--rate", type=float, default=0.8, help="requests per second (default: 0.8)")
    args = parser.parse_args()
    changes: dict[str, list[tuple[float, ...]]] = {}
    with stack_under_load(args.rate):
        for number in range(args.rounds):
            for fault in ("none", "cpu", "accelerator"):
                for target in REPLICAS if fault != "none" else REPLICAS[:1]:
                    print(f"round {number + 1}: {fault} on {target}", file=sys.stderr, flush=True)
                    for replica, found in measured(fault, target, args.seconds).items():
                        role = "broken" if replica == target and fault != "none" else "other"
                        changes.setdefault(f"{fault}, the {role} one", []).append(found)
    print(f"{'change, median and range':28}{'time per step':>30}{'throttling per CPU time':>34}")
    for title, found_changes in changes.items():
        show(title, found_changes)


if __name__ == "__main__":
    main()
