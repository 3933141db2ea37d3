"""What the runner costs beyond the methods: wall-clock time per (method, case) less their own.

    python rca-benchmark/benchmarks/runner.py

Writes a data set of small cases to a temporary folder, runs fast methods on each case
and prints a table. Run it on an idle machine: another load counts as overhead.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    GroundTruth,
    Injection,
    Observation,
    typed_table,
)
from rca_benchmark.dataset import find_cases
from rca_benchmark.dataset.native import write_case
from rca_benchmark.evaluation.plan import Limits, Plan
from rca_benchmark.evaluation.runner import evaluate
from rca_benchmark.preprocess import Preparation

METHODS = ("constant", "random", "max_z", "nsigma", "baro")
CASES = 40
SECOND = 1_000_000_000
START = 1_795_417_200 * SECOND


def main() -> None:
    """Print one line per number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "cases"
        for number in range(CASES):
            write_small_case(root / f"case-{number}", number)
        print("workers  rows  wall s  methods s  overhead ms per (method, case)")
        for workers in (1, 2):
            print(measure(root, Path(folder) / f"out-{workers}", workers))


def measure(root: Path, out: Path, workers: int) -> str:
    """Run the plan once to warm up and once to measure; reading the cases is part of it."""
    plan = Plan(tuple(find_cases(root)), METHODS, (Preparation(),), limits=Limits(60.0, 4096))
    evaluate(plan, out / "warm", workers=workers)
    start = time.perf_counter()
    table = evaluate(plan, out / "measured", workers=workers)
    wall = time.perf_counter() - start
    own = sum(table.column("seconds").to_pylist())
    overhead = (wall * workers - own) / table.num_rows * 1000
    return f"{workers:7}  {table.num_rows:4}  {wall:6.2f}  {own:9.2f}  {overhead:30.2f}"


def write_small_case(directory: Path, seed: int) -> None:
    """50 indicators x 600 rows of noise."""
    rng = np.random.default_rng(seed)
    names = [f"service-{index % 10}_metric-{index}" for index in range(50)]
    metrics = pd.DataFrame(rng.normal(size=(600, 50)), columns=names)
    metrics.insert(0, "time", START + SECOND * np.arange(600))
    observation = Observation(
        metrics=metrics,
        logs=typed_table([], LOG_COLUMNS),
        traces=typed_table([], TRACE_COLUMNS),
        topology=typed_table([], EDGE_COLUMNS),
        inject_time_ns=START + 400 * SECOND,
        sli=None,
        services=tuple(f"service-{index}" for index in range(10)),
        step_ns=SECOND,
    )
    truth = GroundTruth("service-0", "none", Injection(START + 400 * SECOND))
    write_case(directory, observation, truth, attachments={}, absent=(), quality={})


if __name__ == "__main__":
    main()
