"""One way of reading a window from Prometheus; prints what it cost as JSON.

export_reading.py ours|client|bare|single URL SERIES SECONDS

ours    what the exporter does
client  the same queries through prometheus-api-client, in as many threads
bare    the same queries; the bodies are thrown away
single  one query per container and metric, joined by time one after the other, as the exporter of
        the study did; SERIES then says how many are read
"""

import asyncio
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import aiohttp
import numpy as np
import pandas as pd
import requests
from filled_prometheus import BASE_S, metric_names, services
from prometheus_api_client import PrometheusConnect

from rca_benchmark.export.base import SECOND_NS, Window
from rca_benchmark.export.endpoint import Endpoint
from rca_benchmark.export.indicators import Query
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.prometheus import (
    PARALLEL_QUERIES,
    POINTS_PER_QUERY,
    RANGE_PATH,
    Prometheus,
)


def promql(metric, where=""):
    """The forms of the catalogue."""
    if metric.endswith("_total"):
        return f"sum by (service) (rate({metric}{where}[5s]))"
    return f"sum by (service) (last_over_time({metric}{where}[2s]))"


def ours(url, series, seconds):
    """All metrics as one table."""
    window = Window(BASE_S * SECOND_NS, (BASE_S + seconds) * SECOND_NS)
    queries = tuple(Query(metric.replace("_", "-"), "", "", promql(metric), "service")
                    for metric in metric_names())  # fmt: skip
    placement = Placement({name: {"node": "n"} for name in services(series)})
    server = Prometheus(Endpoint("prometheus", url), queries, placement)
    table = server.fetch(window, lambda _label: None).metrics
    return int(table.notna().to_numpy().sum())


def client(url, _series, seconds):
    """The package's own range queries and its parsed JSON, put into columns."""
    start, end = (datetime.fromtimestamp(BASE_S + offset, UTC) for offset in (0, seconds))
    grid = pd.RangeIndex(BASE_S, BASE_S + seconds + 1)
    columns = {}

    def one(metric):
        with PrometheusConnect(url) as server:
            for found in server.custom_query_range(promql(metric), start, end, "1"):
                times, values = zip(*found["values"], strict=True)
                column = pd.Series([float(value) for value in values], index=times)
                columns[f"{found['metric']['service']}_{metric}"] = column.reindex(grid)

    with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
        list(pool.map(one, metric_names()))
    return int(pd.DataFrame(columns).notna().to_numpy().sum())


def bare(url, _series, seconds):
    """The bytes alone."""

    async def one(session, limit, metric):
        received = 0
        grid = np.arange(BASE_S, BASE_S + seconds + 1)
        async with limit:
            for chunk in np.array_split(grid, -(-grid.size // POINTS_PER_QUERY)):
                form = {"query": promql(metric), "start": str(chunk[0]), "end": str(chunk[-1]),
                        "step": "1"}  # fmt: skip
                async with session.post(url + RANGE_PATH, data=form) as response:
                    async for piece in response.content.iter_any():
                        received += len(piece)
        return received

    async def every():
        limit = asyncio.Semaphore(PARALLEL_QUERIES)
        plain = {"Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(headers=plain, read_bufsize=2**18) as session:
            return sum(await asyncio.gather(*(one(session, limit, m) for m in metric_names())))

    return asyncio.run(every())


def single(url, series, seconds):
    """A query, a connection and a join for each container and metric."""
    table = None
    for service in services(series):
        own = None
        for metric in metric_names():
            params = {"query": promql(metric, f'{{service="{service}"}}'), "start": BASE_S,
                      "end": BASE_S + seconds, "step": "1s"}  # fmt: skip
            answer = requests.get(url + RANGE_PATH, params=params, timeout=600).json()
            [found] = answer["data"]["result"]
            part = pd.DataFrame(found["values"], columns=["time", f"{service}_{metric}"])
            part["time"] = pd.to_datetime(part["time"], unit="s")
            part[part.columns[1]] = part[part.columns[1]].astype(float)
            own = part if own is None else own.merge(part, on="time", how="outer")
        table = own if table is None else table.merge(own, on="time", how="outer")
        table = table.sort_values("time")
    return int(table.notna().to_numpy().sum())


def main():
    """Measure one way."""
    way, url, series, seconds = sys.argv[1:]
    call = {"ours": ours, "client": client, "bare": bare, "single": single}[way]
    start, cpu = time.perf_counter(), time.process_time()
    what = call(url, int(series), int(seconds))
    figures = {
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "read": what,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
