"""What reading spans and log lines costs, and methods that read them beside RCAEval's.

    python rca-benchmark/benchmarks/traces_and_logs.py [--spans N] [--lines N] [--dataset DIR]

Makes a case of that many spans and lines in memory and measures, in this one process and in this
order, every feature and then every method that reads traces or logs on top of them (CPU seconds,
growth of resident memory at the peak). With ``--dataset``, methods are also measured beside those
of RCAEval 1.8.1, whose interpreter RCAEVAL_PYTHON names, on the data set's case with most spans;
where RCAEval cannot answer that one, on the largest that it can.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from peer import interpreter, write_for_peer
from stopwatch import measure, timed

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Observation,
    typed_table,
)
from rca_benchmark.dataset import find_cases, read_case
from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.log_changes import log_changes
from rca_benchmark.features.operations import operation_latency
from rca_benchmark.features.span_excess import failures, span_excess
from rca_benchmark.features.spans import spans_of
from rca_benchmark.methods import all_methods, get_method
from rca_benchmark.preprocess import Preparation, log_counts, prepare, span_counts

SECOND = 1_000_000_000
START = 1_795_417_200 * SECOND
ROWS, BEFORE, SERVICES, DEPTH = 600, 450, 20, 10
LIMIT = 600.0
FEATURES = {
    "spans": spans_of,
    "latency per operation": operation_latency,
    "excess of spans": span_excess,
    "where failures begin": failures,
    "spans per step": span_counts,
    "lines per step": log_counts,
    "log templates and their changes": log_changes,
}
BESIDE_RCAEVAL = ("microrank", "tracerca", "pdiagnose")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=500_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--dataset", type=Path, help="cases on which RCAEval is measured as well")
    args = parser.parse_args()
    print(f"{args.spans} spans and {args.lines} log lines")
    print_features(prepare(make_case(args.spans, args.lines), Preparation()).observation)
    if args.dataset:
        print_beside_rcaeval(args.dataset)


def print_features(observation):
    """Features first; methods find them computed."""
    print(f"{'':34}{'CPU s':>8}{'MiB':>8}")
    calls = {name: lambda read=read: read(observation) for name, read in FEATURES.items()}
    for method in all_methods():
        if method.sources & {"traces", "logs"}:
            calls[f"{method.name}, on top"] = lambda method=method: answer(method, observation)
    for name, call in calls.items():
        seconds, mib = timed(call, LIMIT)
        print(f"{name:34}{seconds:8.2f}{mib:8.0f}")


def answer(method, observation):
    """The method's answer, or its refusal."""
    try:
        return method.function(observation, np.random.default_rng(0))
    except MethodFailed as refusal:
        return refusal


def make_case(spans, lines, seed=0):
    """Chains of calls through ten of twenty services, one of them slow and loud at the end."""
    rng = np.random.default_rng(seed)
    names = [f"service{place}" for place in range(SERVICES)]
    traces = spans // DEPTH
    trace = np.repeat(np.arange(traces), DEPTH)
    depth = np.tile(np.arange(DEPTH), traces)
    service = (depth + np.repeat(rng.integers(0, SERVICES, traces), DEPTH)) % SERVICES
    begin = START // 1000 + np.sort(rng.integers(0, ROWS * 10**6, traces))[trace] + depth * 1000
    late = begin * 1000 >= START + BEFORE * SECOND
    duration = (DEPTH - depth) * 10_000 + rng.integers(0, 2000, len(trace))
    duration += np.where(late & (service == 7), 50_000, 0)
    ids = pd.Series(trace * DEPTH + depth).astype("str")
    parents = pd.Series(trace * DEPTH + depth - 1).astype("str").where(depth > 0, "")
    owner = np.array(names, dtype=object)[service]
    table = pd.DataFrame(
        {
            "traceID": pd.Series(trace).astype("str"),
            "spanID": ids,
            "parentSpanID": parents,
            "serviceName": owner,
            "methodName": "call",
            "operationName": np.array([f"/op{n}" for n in range(10)], dtype=object)[depth % 10],
            "startTime": begin,
            "duration": duration,
            "statusCode": np.where(late & (service == 7) & (trace % 3 == 0), 500, 200),
        }
    )
    metrics = pd.DataFrame(
        rng.normal(10, 1, (ROWS, SERVICES * 2)),
        columns=[f"{name}_{metric}" for name in names for metric in ("cpu", "latency-90")],
    )
    metrics.insert(0, "time", START + SECOND * np.arange(ROWS))
    return Observation(
        metrics=metrics,
        logs=make_lines(lines, names, rng),
        traces=typed_table(table, TRACE_COLUMNS),
        topology=typed_table([], EDGE_COLUMNS),
        inject_time_ns=START + BEFORE * SECOND,
        sli="service0_latency-90",
        services=tuple(names),
        step_ns=SECOND,
    )


def make_lines(count, names, rng):
    """300 kinds of lines, each with two values of its own."""
    words = ["alpha", "beta", "gamma", "delta", "request", "handled", "cache", "error", "miss"]
    kinds = np.array([" ".join(rng.choice(words, 8)) for _ in range(300)], dtype=object)
    numbers = pd.Series(rng.integers(0, 10**6, count)).astype("str")
    text = kinds[rng.integers(0, 300, count)] + (" id=" + numbers + " took " + numbers + " ms")
    lines = {
        "time": np.sort(START + rng.integers(0, ROWS * SECOND, count)),
        "service": np.array(names, dtype=object)[rng.integers(0, len(names), count)],
        "level": "INFO",
        "message": text,
        "source": "out.log",
    }
    return typed_table(pd.DataFrame(lines), LOG_COLUMNS)


def print_beside_rcaeval(folder):
    """Our methods and RCAEval's on the same case; neither has anything computed beforehand."""
    cases = sorted((read_case(ref) for ref in find_cases(folder)),
                   key=lambda case: -len(case.observation.traces))  # fmt: skip
    print(f"\n{'':12}{'CPU s':>8}{'RCAEval CPU s':>16}{'ratio':>8}  case (spans)")
    for name in BESIDE_RCAEVAL:
        for case in cases:
            seen = case.observation
            theirs = peer_result(name, seen)
            ours = measure(lambda: fresh(name, seen), lambda: fresh(name, seen), 60)["seconds"]  # noqa: B023
            about = f"{case.name} ({len(seen.traces)})"
            if "seconds" in theirs:
                other = theirs["seconds"]
                print(f"{name:12}{ours:8.3f}{other:16.3f}{other / ours:8.0f}  {about}")
                break
            reason = theirs.get("error", "not in RCAEval, or not measured")
            print(f"{name:12}{ours:8.3f}{'':24}  {about}: {reason}")
            if "error" not in theirs:
                break


def fresh(name, observation):
    """A call on a newly prepared observation, so that nothing is shared."""
    prepared = prepare(observation, Preparation()).observation
    return lambda: answer(get_method(name), prepared)


def peer_result(name, observation):
    """What RCAEval's interpreter measures."""
    python = interpreter()
    if python is None:
        return {}
    script = Path(__file__).with_name("rcaeval_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        write_for_peer(observation, case)
        command = [python, str(script), name, str(case), str(case), "120"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
