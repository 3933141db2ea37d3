"""Prometheus exporter of the pods: CPU, memory, network and TCP health per service.

cAdvisor is not in every distribution and reads no network counters for plain control groups, so
this small exporter offers cAdvisor's metric names with a `service` label: one set of queries serves
both platforms. Network counters are read from the host's end of each pod's interface pair, so what
the host transmits is what the pod receives. The kernel's own round-trip estimates of the pod's TCP
connections stand for what flow monitors report on a cluster; reading them needs root.

Usage: pod_exporter.py --stack STACK.json --listen ADDRESS:PORT
"""

import argparse
import re
import subprocess
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
    "container_tcp_round_trip_seconds": "Mean round trip of connections used in the last 2 s.",
    "container_tcp_connections": "Established TCP connections to other addresses.",
    "container_tcp_retransmitting": "Connections that are retransmitting now.",
}


def network(pod: pods.Pod) -> dict[str, float]:
    """Read the pod's network counters from the host's end of its interface pair."""
    folder = Path("/sys/class/net", pod.veth, "statistics")
    return {
        f"container_network_{direction}_{unit}_total": int((folder / f"{side}_{unit}").read_text())
        for direction, side in (("receive", "tx"), ("transmit", "rx"))
        for unit in ("bytes", "packets")
    }


def peer(line: str) -> str:
    """Return the peer's address in a line of `ss`, e.g. 10.77.0.1 from [::ffff:10.77.0.1]:8000."""
    return line.split()[3].rpartition(":")[0].strip("[]").removeprefix("::ffff:")


def tcp(pod: pods.Pod) -> dict[str, float]:
    """Read the state of the pod's TCP connections to other addresses with iproute2's `ss`.

    A connection's estimate (`rtt:`, ms) ages while nothing is acknowledged, so only connections
    with an acknowledgement (`lastack:`, ms) in the last 2 s count; without any it is absent.
    """
    command = ["ip", "netns", "exec", pod.namespace, "ss", "-tinHO", "state", "established"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    own = (pod.address, "127.0.0.1", "::1")
    others = [line for line in shown.stdout.splitlines() if peer(line) not in own]
    fresh = [
        float(match["rtt"]) / 1000
        for line in others
        if (match := re.search(r" rtt:(?P<rtt>[0-9.]+)/.* lastack:(?P<lastack>[0-9]+)", line))
        and int(match["lastack"]) <= FRESH_MS
    ]
    retransmitting = sum(" retrans:" in line and " retrans:0/" not in line for line in others)
    state: dict[str, float] = {
        "container_tcp_connections": len(others),
        "container_tcp_retransmitting": retransmitting,
    }
    if fresh:
        state["container_tcp_round_trip_seconds"] = sum(fresh) / len(fresh)
    return state


def render(stack: pods.Stack, hierarchy: cgroups.Hierarchy) -> str:
    """Return every pod's account in Prometheus' text format."""
    accounts = {
        pod.name: cgroups.usage(hierarchy, pod.group) | network(pod) | tcp(pod)
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

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = render(stack, hierarchy).encode()
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
