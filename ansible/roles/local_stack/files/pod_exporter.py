"""Prometheus exporter of the pods: CPU, memory, network, disks and TCP health per service.

cAdvisor is not in every distribution and reads no network counters for plain control groups, so
this small exporter offers cAdvisor's metric names with a `service` label: one set of queries serves
both platforms. Network counters are read from the host's end of each pod's interface pair, so what
the host transmits is what the pod receives. The kernel's own round-trip estimates of the pod's TCP
connections stand for what flow monitors report on a cluster; reading them needs root.

Usage: pod_exporter.py --stack STACK.json --listen ADDRESS:PORT
"""

import argparse
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cgroups
import pods

FRESH_MS = 2000
HELP = {
    "container_cpu_usage_seconds_total": "CPU time used, in seconds.",
    "container_cpu_cfs_throttled_seconds_total": "Time throttled by the CPU quota, in seconds.",
    "container_cpu_cfs_throttled_periods_total": "Scheduler periods with throttling.",
    "container_cpu_cfs_periods_total": "Scheduler periods elapsed while the pod wanted to run.",
    "container_memory_working_set_bytes": "Memory in use without inactive file pages, in bytes.",
    "container_memory_rss": "Anonymous memory, in bytes.",
    "container_network_receive_bytes_total": "Bytes received by the pod.",
    "container_network_transmit_bytes_total": "Bytes sent by the pod.",
    "container_network_receive_packets_total": "Packets received by the pod.",
    "container_network_transmit_packets_total": "Packets sent by the pod.",
    "container_fs_reads_bytes_total": "Bytes the pod's processes read from disks.",
    "container_fs_writes_bytes_total": "Bytes the pod's processes wrote to disks.",
    "container_start_time_seconds": "When the pod's main process began, in epoch seconds.",
    "container_tcp_round_trip_seconds": "Mean round trip of connections used in the last 2 s.",
    "container_tcp_connections": "Established TCP connections to other addresses.",
    "container_tcp_retransmits_total": "TCP segments that the pod sent again.",
}


def network(pod: pods.Pod) -> dict[str, float]:
    """Read the pod's network counters from the host's end of its interface pair."""
    folder = Path("/sys/class/net", pod.veth, "statistics")
    return {
        f"container_network_{direction}_{unit}_total": int((folder / f"{side}_{unit}").read_text())
        for direction, side in (("receive", "tx"), ("transmit", "rx"))
        for unit in ("bytes", "packets")
    }


class Disks:
    """What the pods' processes read from and wrote to disks, those that have ended included.

    The kernel counts per process, on either version of control groups and without the controller
    for block devices; what a process did after the last look before its end is not seen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}
        self._totals: dict[str, tuple[int, int]] = {}

    def account(self, pod: pods.Pod, members: set[int]) -> dict[str, float]:
        """Return the pod's totals in bytes; they never fall while the exporter runs."""
        with self._lock:
            reads, writes = self._totals.get(pod.name, (0, 0))
            for pid in members:
                text = pods.read_process(pid, "io").decode()
                fields = dict(line.split(": ") for line in text.splitlines())
                if not fields:
                    continue
                now = int(fields["read_bytes"]), int(fields["write_bytes"])
                before = self._seen.get((pod.name, pid), (0, 0))
                if now < before:  # another process with the same number
                    before = (0, 0)
                reads += max(0, now[0] - before[0])
                writes += max(0, now[1] - before[1])
                self._seen[pod.name, pid] = now
            self._totals[pod.name] = reads, writes
        return {"container_fs_reads_bytes_total": reads, "container_fs_writes_bytes_total": writes}


def start_time(pod: pods.Pod) -> dict[str, float]:
    """Return when the pod's main process began; nothing while it does not run."""
    try:
        stat = pods.read_process(pods.main_process(pod), "stat").decode()
    except pods.PodError:
        return {}
    if not stat:
        return {}
    # Field 22 of proc(5), counted behind the name in brackets, in clock ticks since the boot.
    ticks = int(stat.rpartition(")")[2].split()[19])
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    seconds = int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return {"container_start_time_seconds": seconds}


def peer(line: str) -> str:
    """Return the peer's address in a line of `ss`, e.g. 10.77.0.1 from [::ffff:10.77.0.1]:8000."""
    return line.split()[3].rpartition(":")[0].strip("[]").removeprefix("::ffff:")


def tcp(pod: pods.Pod) -> dict[str, float]:
    """Read the state of the pod's TCP connections to other addresses with iproute2's `ss`.

    A connection's estimate (`rtt:`, ms) ages while nothing is acknowledged, so only connections
    with an acknowledgement (`lastack:`, ms) in the last 2 s count; without any it is absent. What
    was sent again is counted by the kernel for the whole namespace (`Tcp:` lines of
    /proc/net/snmp: names, then values).
    """
    both = "ss -tinHO state established && grep ^Tcp: /proc/net/snmp"
    command = ["ip", "netns", "exec", pod.namespace, "sh", "-c", both]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    *connections, names, values = shown.stdout.splitlines()
    counters = dict(zip(names.split(), values.split(), strict=True))
    own = (pod.address, "127.0.0.1", "::1")
    others = [line for line in connections if peer(line) not in own]
    fresh = [
        float(match["rtt"]) / 1000
        for line in others
        if (match := re.search(r" rtt:(?P<rtt>[0-9.]+)/.* lastack:(?P<lastack>[0-9]+)", line))
        and int(match["lastack"]) <= FRESH_MS
    ]
    state: dict[str, float] = {
        "container_tcp_connections": len(others),
        "container_tcp_retransmits_total": int(counters["RetransSegs"]),
    }
    if fresh:
        state["container_tcp_round_trip_seconds"] = sum(fresh) / len(fresh)
    return state


def render(stack: pods.Stack, hierarchy: cgroups.Hierarchy, disks: Disks) -> str:
    """Return every pod's account in Prometheus' text format."""
    accounts = {
        pod.name: cgroups.usage(hierarchy, pod.group)
        | network(pod)
        | tcp(pod)
        | disks.account(pod, cgroups.members(hierarchy, pod.group))
        | start_time(pod)
        for pod in stack.pods.values()
    }
    lines = []
    for metric, text in HELP.items():
        kind = "counter" if metric.endswith("_total") else "gauge"
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} {kind}"]
        lines += [
            f'{metric}{{service="{pod}"}} {a[metric]}' for pod, a in accounts.items() if metric in a
        ]
    return "\n".join(lines) + "\n"


def handler(stack: pods.Stack, hierarchy: cgroups.Hierarchy) -> type[BaseHTTPRequestHandler]:
    """Return a request handler that answers every GET with the current accounts."""
    disks = Disks()

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = render(stack, hierarchy, disks).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent: one scrape a second is no news."""

    return Metrics


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    args = parser.parse_args()
    address, _, port = args.listen.rpartition(":")
    metrics = handler(pods.Stack.load(args.stack), cgroups.find_hierarchy())
    ThreadingHTTPServer((address, int(port)), metrics).serve_forever()


if __name__ == "__main__":
    main()
