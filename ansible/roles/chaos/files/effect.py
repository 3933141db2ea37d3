"""Measure a fault's effect on the system itself, independent of what made the fault.

Usage: effect.py throttling --group GROUP [--seconds S]   share of CPU periods with throttling,
                                                          and cores used
       effect.py round-trip --address ADDRESS             median of several ICMP round trips, in ms

Prints JSON with `at_ns`, the UTC instant (epoch nanoseconds) at which the measurement ended.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

import cgroups


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


def round_trip(address: str) -> dict[str, float]:
    """Return the median round-trip time in ms of five pings.

    Raises:
        SystemExit: no ping came back.
    """
    command = ["ping", "-n", "-c", "5", "-i", "0.2", "-W", "15", address]
    plain = {**os.environ, "LC_ALL": "C"}  # ping translates its words and its decimal points
    answer = subprocess.run(command, capture_output=True, text=True, env=plain)
    times = [float(t) for t in re.findall(r"time=([0-9.]+) ms", answer.stdout)]
    if not times:
        sys.exit(f"effect.py: no answer from {address}: {answer.stdout}{answer.stderr}")
    return {"round_trip_ms": statistics.median(times)}


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    effects = parser.add_subparsers(dest="effect", required=True)
    cpu = effects.add_parser("throttling")
    cpu.add_argument("--group", required=True)
    cpu.add_argument("--seconds", type=float, default=1.0)
    effects.add_parser("round-trip").add_argument("--address", required=True)
    args = parser.parse_args()
    if args.effect == "throttling":
        measured = throttling(args.group, args.seconds)
    else:
        measured = round_trip(args.address)
    print(json.dumps({**measured, "at_ns": time.time_ns()}))


if __name__ == "__main__":
    main()
