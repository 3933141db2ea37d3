"""What exporting costs: metrics against bare reads of the same bytes, then logs and spans.

Metrics are read from a real Prometheus that holds made-up series: by the exporter, by
prometheus-api-client, by bare reads whose bodies are thrown away, and one by one, as the exporter
of the study did. Logs and spans are exported by the real command, from files and from servers that
speak Loki's and DeepFlow's APIs. Each run is a process of its own; memory is the most it ever held.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import made_up_telemetry
from filled_prometheus import METRICS, filled_prometheus

FOLDER = Path(__file__).parent
WAYS = ("bare", "ours", "client")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--series", type=int, default=2_000, help="series in Prometheus (default: 2000)")
    add("--seconds", type=int, default=3_600, help="seconds of them (default: 3600)")
    add("--repeats", type=int, default=3, help="of which the median counts (default: 3)")
    add("--single", type=int, default=10, help="containers read one by one (default: 10); the time "
        "is scaled to all")  # fmt: skip
    add("--lines", type=int, default=1_000_000, help="log lines (default: 1000000)")
    add("--spans", type=int, default=500_000, help="spans (default: 500000)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_metrics(Path(folder), args)
    with tempfile.TemporaryDirectory() as folder:
        print_events(Path(folder), args.lines, args.spans)


def print_metrics(folder, args):
    """Four ways to read the same window."""
    with filled_prometheus(folder, args.series, args.seconds) as url:
        runs = {way: [] for way in WAYS}
        for repeat in range(args.repeats):
            for way in WAYS if repeat % 2 else reversed(WAYS):
                runs[way].append(read(way, url, args.series, args.seconds))
        single = read("single", url, args.single * METRICS, args.seconds)
    print(f"metrics: {args.series} series x {args.seconds} s at 1 s, {METRICS} queries; median of "
          f"{args.repeats}")  # fmt: skip
    print(f"  {'':22}{'wall s':>8}{'CPU s':>8}{'MiB':>8}")
    wall = {}
    for way in WAYS:
        figures = {key: statistics.median(run[key] for run in runs[way]) for key in runs[way][0]}
        wall[way] = figures["wall_s"]
        print(f"  {way:22}{wall[way]:8.2f}{figures['cpu_s']:8.2f}{figures['peak_mib']:8.0f}")
    scale = args.series / (args.single * METRICS)
    wall["single"] = single["wall_s"] * scale
    about = f"({single['wall_s']:.2f} s for {args.single} containers, x {scale:g})"
    print(f"  {'one by one':22}{wall['single']:8.2f}{single['cpu_s'] * scale:8.2f}"
          f"{single['peak_mib']:8.0f}  {about}")  # fmt: skip
    print(f"  ours / bare {wall['ours'] / wall['bare']:.2f}; client / ours "
          f"{wall['client'] / wall['ours']:.1f}; one by one / ours "
          f"{wall['single'] / wall['ours']:.1f}")  # fmt: skip


def read(way, url, series, seconds):
    """Figures of one way, in a process of its own."""
    command = [
        sys.executable,
        str(FOLDER / "export_reading.py"),
        way,
        url,
        str(series),
        str(seconds),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def print_events(folder, lines, spans):
    """The command on files, then on servers."""
    (folder / "placement.json").write_text(made_up_telemetry.placement(), encoding="utf-8")
    made_up_telemetry.write_logs(folder / "logs", lines)
    made_up_telemetry.write_spans(folder / "spans.jsonl", spans)
    print(f"\nlogs and spans: {lines} lines, {spans} spans")
    print(f"  {'':22}{'wall s':>8}{'CPU s':>8}{'MiB':>8}")
    files = ["--logs", str(folder / "logs"), "--otlp", str(folder / "spans.jsonl")]
    print_export("files", folder, files)
    with server(lines, spans) as url:
        (folder / "no-logs" / "nginx-proxy").mkdir(parents=True)
        servers = ["--loki", url, "--deepflow", url, "--logs", str(folder / "no-logs")]
        print_export("Loki and DeepFlow", folder, servers)


def print_export(label, folder, sources):
    """What one export took."""
    start_s = made_up_telemetry.BASE_S
    arguments = ["export", "--platform=local", f"--start={start_s}000000000",
                 f"--end={start_s + made_up_telemetry.SECONDS}000000000",
                 f"--placement={folder / 'placement.json'}", f"--out={folder / label}"]  # fmt: skip
    script = (
        "import json, resource, sys, time\n"
        "from rca_benchmark.cli import main\n"
        "start = time.perf_counter()\n"
        "status = main(sys.argv[1:])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps([status, time.perf_counter() - start, used.ru_utime + used.ru_stime,"
        " used.ru_maxrss / 1024]))\n"
    )
    command = [sys.executable, "-c", script, *arguments, *sources]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    status, wall, cpu, mib = json.loads(done.stdout.splitlines()[-1])
    if status:
        raise SystemExit(done.stderr)
    print(f"  {label:22}{wall:8.1f}{cpu:8.1f}{mib:8.0f}")


@contextlib.contextmanager
def server(lines, spans):
    """Address of the made-up telemetry."""
    command = [sys.executable, str(FOLDER / "made_up_telemetry.py"), str(lines), str(spans)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"\n{time.monotonic() - start:.0f} s in all")
