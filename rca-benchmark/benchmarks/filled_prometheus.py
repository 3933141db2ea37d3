"""A real Prometheus on this machine that holds made-up series of many services."""

import contextlib
import shutil
import socket
import subprocess
import time

import numpy as np
import requests

BASE_S = 1_795_417_200  # 2026-11-23T07:00:00Z, where a block of Prometheus begins
METRICS = 20  # the first half are counters, the others gauges
READY_SECONDS = 60


def services(series):
    """Names of the services that have so many series, ``METRICS`` each."""
    return [f"svc-{number:02d}" for number in range(max(1, series // METRICS))]


def metric_names():
    """Counters first."""
    return [f"metric_{number:02d}_total" for number in range(METRICS // 2)] + [
        f"metric_{number:02d}" for number in range(METRICS // 2, METRICS)
    ]


@contextlib.contextmanager
def filled_prometheus(folder, series, seconds):
    """Address of a Prometheus with so many series, a sample a second, over so many seconds.

    Args:
        folder: a folder to fill; it is not cleared.
        series: about how many; a multiple of ``METRICS`` times a number of services.
        seconds: how long, from ``BASE_S`` on; at most an hour.

    Raises:
        SystemExit: Prometheus and promtool are not on PATH.
    """
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        raise SystemExit("prometheus and promtool are needed on PATH")
    (folder / "prometheus.yml").write_text("{}\n", encoding="utf-8")
    write_samples(folder / "samples.txt", series, seconds)
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(fill, cwd=folder, check=True, capture_output=True)
    (folder / "samples.txt").unlink()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
               "--storage.tsdb.retention.time=100y", f"--web.listen-address={address}"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://{address}")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def write_samples(path, series, seconds):
    """OpenMetrics text: random walks and noise, with all the digits that real values have."""
    rng = np.random.default_rng(0)
    times = [str(BASE_S + second) for second in range(seconds + 1)]
    with path.open("w", encoding="utf-8") as file:
        for metric in metric_names():
            for service in services(series):
                if metric.endswith("_total"):
                    values = np.cumsum(rng.exponential(0.3, seconds + 1))
                else:
                    values = rng.normal(1e8, 1e6, seconds + 1)
                name = f'{metric}{{service="{service}",container="{service}"}} '
                pairs = zip(map(repr, values.tolist()), times, strict=True)
                file.writelines(f"{name}{value} {moment}\n" for value, moment in pairs)
        file.write("# EOF\n")


def wait_until_ready(url):
    """Until Prometheus answers that it is."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/-/ready", timeout=5).ok:
                return
        time.sleep(0.1)
    raise SystemExit(f"prometheus was not ready after {READY_SECONDS} s")
