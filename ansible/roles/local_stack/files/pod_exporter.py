"""Prometheus exporter of the pods: CPU, memory and network per service, under cAdvisor's names.

cAdvisor is not in every distribution and reads no network counters for plain control groups, so this
small exporter offers the same metric names with a `service` label: one set of queries serves both
platforms. Network counters are read from the host's end of each pod's interface pair, so what the
host transmits is what the pod receives.

Usage: pod_exporter.py --stack STACK.json --listen ADDRESS:PORT
"""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cgroups
import pods

HELP = {
    "container_cpu_usage_seconds_total": "CPU time used, in seconds.",
    "container_cpu_cfs_throttled_seconds_total": "Time throttled by the CPU quota, in seconds.",
    "container_cpu_cfs_throttled_periods_total": "Scheduler periods in which the pod was throttled.",
    "container_cpu_cfs_periods_total": "Scheduler periods elapsed while the pod wanted to run.",
    "container_memory_working_set_bytes": "Memory in use without inactive file pages, in bytes.",
    "container_memory_rss": "Anonymous memory, in bytes.",
    "container_network_receive_bytes_total": "Bytes received by the pod.",
    "container_network_transmit_bytes_total": "Bytes sent by the pod.",
    "container_network_receive_packets_total": "Packets received by the pod.",
    "container_network_transmit_packets_total": "Packets sent by the pod.",
    "container_processes": "Processes in the pod.",
}


def network(pod: pods.Pod) -> dict[str, float]:
    """Read the pod's network counters from the host's end of its interface pair."""
    folder = Path("/sys/class/net", pod.veth, "statistics")
    return {
        f"container_network_{direction}_{unit}_total": int((folder / f"{side}_{unit}").read_text())
        for direction, side in (("receive", "tx"), ("transmit", "rx"))
        for unit in ("bytes", "packets")
    }


def render(stack: pods.Stack, hierarchy: cgroups.Hierarchy) -> str:
    """Return every pod's account in Prometheus' text format."""
    accounts = {
        pod.name: cgroups.usage(hierarchy, pod.group)
        | network(pod)
        | {"container_processes": len(cgroups.members(hierarchy, pod.group))}
        for pod in stack.pods.values()
    }
    lines = []
    for metric, text in HELP.items():
        kind = "counter" if metric.endswith("_total") else "gauge"
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} {kind}"]
        lines += [f'{metric}{{service="{pod}"}} {a[metric]}' for pod, a in accounts.items()]
    return "\n".join(lines) + "\n"


def handler(stack: pods.Stack, hierarchy: cgroups.Hierarchy) -> type[BaseHTTPRequestHandler]:
    """Return a request handler that answers every GET with the current accounts."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the base class calls this name
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
