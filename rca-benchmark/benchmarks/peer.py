"""Cases for RCAEval, and its interpreter."""

import json
import os

import numpy as np

from rca_benchmark.preprocess import log_counts, span_counts

VARIABLE = "RCAEVAL_PYTHON"
SECOND = 1_000_000_000


def interpreter():
    """RCAEval's Python; None where ``RCAEVAL_PYTHON`` is not set."""
    return os.environ.get(VARIABLE)


def write_for_peer(observation, folder):
    """The tables of an observation as RCAEval takes them, times in whole seconds."""
    folder.mkdir(parents=True)
    times = observation.metrics["time"] // SECOND
    counts = {
        "logts": log_counts(observation),
        "tracets_err": span_counts(observation, failed_only=True),
        "tracets_lat": span_counts(observation),
    }
    for name, table in counts.items():
        # RCAEval takes every 15th row of the metrics and expects the rest to be as coarse.
        summed = table.groupby(np.arange(len(table)) // 15).sum()
        summed.insert(0, "time", times.iloc[::15].to_numpy())
        summed.to_csv(folder / f"{name}.csv", index=False)
    metrics = observation.metrics.copy()
    metrics["time"] = times
    metrics.to_csv(folder / "metric.csv", index=False)
    observation.traces.to_csv(folder / "traces.csv", index=False)
    about = {"inject_time": int(observation.inject_time_ns // SECOND), "sli": observation.sli}
    (folder / "case.json").write_text(json.dumps(about), encoding="utf-8")
