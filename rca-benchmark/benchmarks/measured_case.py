"""A made-up case of any size: services that call each other, one of them at fault."""

import numpy as np
import pandas as pd

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Observation,
    typed_table,
)

SECOND = 1_000_000_000
START = 1_795_417_200 * SECOND
METRICS = ("latency", "workload", "cpu", "mem", "network")
BEFORE = 0.75  # share of rows before the fault
REQUESTS_PER_SECOND = 2


def make_case(columns, rows, seed=0):
    """An observation of so many indicators and rows, with logs, spans and a call graph.

    The entry's workload flows to those it calls. The CPU, the network and the own latency of a
    service follow its workload; its latency holds that of those it calls. Noise is
    autocorrelated and heavy-tailed. One leaf burns CPU in the last quarter.
    """
    rng = np.random.default_rng(seed)
    count = -(-columns // len(METRICS))
    callers = [-1, *((place - 1) // 2 for place in range(1, count))]
    broken = np.arange(rows) >= int(rows * BEFORE)
    metrics, own = make_metrics(callers, broken, rng)
    names = [f"service{place}" for place in range(count)]
    step = 5 if rows < 200 else 1
    times = START + step * SECOND * np.arange(rows, dtype=np.int64)
    metrics = metrics.iloc[:, :columns]
    metrics.insert(0, "time", times)
    calls = [(names[caller], names[place], "call") for place, caller in enumerate(callers) if place]
    return Observation(
        metrics=metrics,
        logs=make_logs(names, times, broken, rng),
        traces=make_spans(names, callers, own, times, step, rng),
        topology=typed_table(calls, EDGE_COLUMNS),
        inject_time_ns=int(times[broken][0]),
        sli="service0_latency",
        services=tuple(names),
        step_ns=step * SECOND,
    )


def make_metrics(callers, broken, rng):
    """The indicators, and the own time of every service in seconds (rows x services)."""
    rows, count = len(broken), len(callers)
    noise = autocorrelated(rng.laplace(size=(rows, count, len(METRICS))))
    workload, cpu, own = np.zeros((3, rows, count))
    for place, caller in enumerate(callers):
        coming = 50.0 if caller < 0 else 0.6 * workload[:, caller]
        workload[:, place] = coming + noise[:, place, 1]
        cpu[:, place] = 0.02 * workload[:, place] + 0.3 * noise[:, place, 2]
    cpu[:, -1] += 4 * broken
    own = np.maximum(0.02 + 0.01 * cpu + 0.004 * noise[:, :, 0], 1e-3)
    latency = own.copy()
    for place in reversed(range(1, count)):
        latency[:, callers[place]] += 0.8 * latency[:, place]
    latency += 0.002 * rng.normal(size=latency.shape)
    memory = 500 + 20 * noise[:, :, 3] + 5 * cpu
    network = 3 * workload + 5 * noise[:, :, 4]
    tables = dict(zip(METRICS, (latency, workload, cpu, memory, network), strict=True))
    columns = {
        f"service{place}_{metric}": tables[metric][:, place]
        for place in range(count)
        for metric in METRICS
    }
    return pd.DataFrame(columns), own


def autocorrelated(shocks, memory=0.5):
    """First-order autoregression along the first axis."""
    values = shocks.copy()
    for row in range(1, len(values)):
        values[row] += memory * values[row - 1]
    return values


def make_spans(names, callers, own, times, step, rng):
    """Requests from the entry down to one random service each; a span per service on the way."""
    spans = []
    for number in range(len(times) * step * REQUESTS_PER_SECOND):
        row = number // (step * REQUESTS_PER_SECOND)
        path = [int(rng.integers(len(names)))]
        while callers[path[-1]] >= 0:
            path.append(callers[path[-1]])
        path.reverse()
        taken = (own[row, path] * rng.uniform(0.8, 1.2, len(path)) * 1e6).astype(np.int64)
        begin = int(times[row]) // 1000 + int(rng.integers(step * 1_000_000))
        for depth, place in enumerate(path):
            parent = f"{number}-{depth - 1}" if depth else ""
            start, duration = begin + int(taken[:depth].sum() // 2), int(taken[depth:].sum())
            spans.append(
                (f"{number}", f"{number}-{depth}", parent, names[place], "GET", "GET /work",
                 start, duration, 200)
            )  # fmt: skip
    return typed_table(spans, TRACE_COLUMNS)


def make_logs(names, times, broken, rng):
    """A line per service and row, and two errors per row of the service at fault."""
    lines = []
    for row, time in enumerate(times):
        for place, name in enumerate(names):
            text = f"request {rng.integers(10_000)} handled in {rng.integers(100)} ms"
            lines.append((int(time) + place, name, "INFO", text, "out.log"))
        for number in range(2 * int(broken[row])):
            text = f"request {rng.integers(10_000)} failed: deadline exceeded"
            lines.append((int(time) + SECOND // 2 + number, names[-1], "ERROR", text, "out.log"))
    return typed_table(lines, LOG_COLUMNS)
