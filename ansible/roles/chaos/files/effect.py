"""Measure a fault's effect on the system itself, independent of what made the fault.

Usage: effect.py throttling --group GROUP [--seconds S]   share of CPU periods with throttling,
                                                          and cores used
       effect.py memory --group GROUP                     working set and limit, in bytes
       effect.py round-trip --address ADDRESS             median of several ICMP round trips, in ms
       effect.py loss --address ADDRESS                   share of ICMP round trips that get lost
       effect.py rate --address ADDRESS                   kbit/s at which large answers come back
       effect.py engine --group GROUP [--seconds S] [--head ADDRESS]
                                                          the engine: its processes, the share of
                                                          time for which they are stopped, cores
                                                          used; with the Ray head's address also
                                                          whether Serve has all its replicas

Prints JSON with `at_ns`, the UTC instant (epoch nanoseconds) at which the measurement ended.
"""

import argparse
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import cgroups
import engine

RAY_METRICS_PORT = 8090
HEALTHY = 6.0  # of ray_serve_deployment_status, as its help text says


def throttling(group: str, seconds: float) -> dict[str, float]:
    """Return the share of scheduler periods with throttling (0 to 1) and the cores used."""
    hierarchy = cgroups.find_hierarchy()
    before, began = cgroups.usage(hierarchy, group), time.monotonic()
    time.sleep(seconds)
    after, elapsed = cgroups.usage(hierarchy, group), time.monotonic() - began
    change = {name.removeprefix("container_cpu_"): after[name] - before[name] for name in after}
    periods = change["cfs_periods_total"]
    return {
        "throttled_share": change["cfs_throttled_periods_total"] / periods if periods else 0.0,
        "cpu_cores": change["usage_seconds_total"] / elapsed,
    }


def ping(address: str, *options: str) -> tuple[int, list[float]]:
    """Return how many pings were sent, and the round-trip times in ms of those that came back."""
    command = ["ping", "-n", *options, address]
    plain = {**os.environ, "LC_ALL": "C"}  # ping translates its words and its decimal points
    answer = subprocess.run(command, capture_output=True, text=True, env=plain)
    sent = re.search(r"([0-9]+) packets transmitted", answer.stdout)
    if not sent or int(sent[1]) == 0:
        sys.exit(f"effect.py: cannot ping {address}: {answer.stdout}{answer.stderr}")
    return int(sent[1]), [float(t) for t in re.findall(r"time=([0-9.]+) ms", answer.stdout)]


def round_trip(address: str) -> dict[str, float]:
    """Return the median round-trip time in ms of five pings.

    Raises:
        SystemExit: no ping came back.
    """
    _, times = ping(address, "-c", "5", "-i", "0.2", "-W", "15")
    if not times:
        sys.exit(f"effect.py: no answer from {address}")
    return {"round_trip_ms": statistics.median(times)}


def memory(group: str) -> dict[str, float]:
    """Return a group's working set and limit in bytes."""
    hierarchy = cgroups.find_hierarchy()
    used = cgroups.usage(hierarchy, group)["container_memory_working_set_bytes"]
    return {
        "working_set_bytes": used,
        "limit_bytes": cgroups.memory_limit(hierarchy, group),
    }


def loss(address: str) -> dict[str, float]:
    """Return the share (0 to 1) of 100 pings within a second that had no answer."""
    sent, times = ping(address, "-c", "100", "-i", "0.01", "-W", "1")
    return {"lost_share": 1 - len(times) / sent}


def rate(address: str) -> dict[str, float]:
    """Return the rate in kbit/s at which the answers to a burst of large pings come back.

    All are sent at once, so the spread of their round trips is the time that the answers' way
    takes for all but the first of them.

    Raises:
        SystemExit: fewer than two pings came back.
    """
    payload = 1200
    _, times = ping(address, "-c", "12", "-l", "12", "-s", str(payload), "-W", "5")
    if len(times) < 2:
        sys.exit(f"effect.py: {len(times)} answers from {address} to a burst of pings")
    headers = 42  # of ICMP, IP and Ethernet
    bits = (len(times) - 1) * (payload + headers) * 8
    return {"rate_kbit": bits / max(max(times) - min(times), 0.001)}


def engine_state(group: str, seconds: float, head: str | None = None) -> dict[str, Any]:
    """Return what the engine does: see the usage above."""
    pids = engine.processes(group)
    ticks, began, looks = cpu_ticks(pids), time.monotonic(), []
    while (elapsed := time.monotonic() - began) < seconds:
        looks += [engine.state(pid) == engine.STOPPED for pid in pids]
        time.sleep(random.uniform(0.001, 0.003))  # noqa: S311 - not in step with any period
    used = (cpu_ticks(pids) - ticks) / os.sysconf("SC_CLK_TCK")
    state = {
        "processes": pids,
        "stopped_share": statistics.fmean(looks) if looks else 0.0,
        "cpu_cores": used / elapsed,
    }
    return state if head is None else {**state, "healthy": is_healthy(head)}


def cpu_ticks(pids: list[int]) -> int:
    """Return the CPU time of processes, user and system, in clock ticks."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total


def is_healthy(head: str) -> bool:
    """Tell whether Ray Serve has all replicas of its one deployment, by the head node's metrics.

    Raises:
        SystemExit: they cannot be read, or do not say.
    """
    url = f"http://{head}:{RAY_METRICS_PORT}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            text = answer.read().decode()
    except OSError as error:
        sys.exit(f"effect.py: {url}: {error}")
    found = re.search(r"^ray_serve_deployment_status{.*} ([0-9.]+)$", text, re.MULTILINE)
    if not found:
        sys.exit(f"effect.py: {url} has no ray_serve_deployment_status")
    return float(found[1]) == HEALTHY


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    effects = parser.add_subparsers(dest="effect", required=True)
    arguments = {
        throttling: ("group", "seconds"),
        memory: ("group",),
        round_trip: ("address",),
        loss: ("address",),
        rate: ("address",),
        engine_state: ("group", "seconds", "head"),
    }
    for measure, names in arguments.items():
        effect = effects.add_parser(measure.__name__.removesuffix("_state").replace("_", "-"))
        effect.set_defaults(measure=measure)
        for name in names:
            if name == "seconds":
                effect.add_argument("--seconds", type=float, default=1.0)
            elif name == "head":
                effect.add_argument("--head")
            else:
                effect.add_argument(f"--{name}", required=True)
    given = vars(parser.parse_args())
    measure = given.pop("measure")
    del given["effect"]
    print(json.dumps({**measure(**given), "at_ns": time.time_ns()}))


if __name__ == "__main__":
    main()
