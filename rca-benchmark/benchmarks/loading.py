"""How long reading a case takes, and how much memory: python rca-benchmark/benchmarks/loading.py.

Side by side: one case of 300 indicators x 2,880 rows (4 h at a step of 5 s) from Parquet and from
CSV, read and cut into windows; then the listing of 10,000 cases. Each figure is the median of its
repetitions; memory is the growth of the peak of a fresh process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Case,
    GroundTruth,
    Injection,
    Observation,
    typed_table,
)
from rca_benchmark.dataset import find_cases, native, rcaeval
from rca_benchmark.dataset.convert import write_rcaeval
from rca_benchmark.dataset.index import INDEX, MANIFEST, case_rows
from rca_benchmark.dataset.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable

START_NS = 1_795_417_200 * 10**9
STEP_NS = 5 * 10**9


def main() -> None:
    """Write the data, take the figures, print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2880)
    parser.add_argument("--indicators", type=int, default=300)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        case = make_case(args.rows, args.indicators)
        native.write_case(
            root / "native" / "case",
            case.observation,
            case.truth,
            attachments={},
            absent=(),
            quality={},
        )
        write_rcaeval(root / "csv" / "service-0_cpu" / "1", case)
        print(f"one case of {args.indicators} indicators x {args.rows} rows")
        figures("Parquet, native", load_native, root / "native" / "case", args.repeat)
        figures("CSV, RCAEval", load_csv, root / "csv" / "service-0_cpu" / "1", args.repeat)
        write_listing(root / "many", case, args.cases)
        print(f"listing {args.cases} cases")
        figures("index", find_cases, root / "many", args.repeat)


def make_case(rows: int, indicators: int) -> Case:
    """A case of noise, with a service for every ten indicators."""
    rng = np.random.default_rng(0)
    names = [f"service-{number // 10}_metric-{number % 10}" for number in range(indicators)]
    metrics = pd.DataFrame(rng.normal(size=(rows, indicators)), columns=names)
    metrics.insert(0, "time", START_NS + STEP_NS * np.arange(rows, dtype="int64"))
    inject_ns = START_NS + STEP_NS * (rows // 2)
    observation = Observation(
        metrics=metrics,
        logs=typed_table([], LOG_COLUMNS),
        traces=typed_table([], TRACE_COLUMNS),
        topology=typed_table([], EDGE_COLUMNS),
        inject_time_ns=inject_ns,
        sli=None,
        services=tuple(sorted({name.partition("_")[0] for name in names})),
        step_ns=STEP_NS,
    )
    return Case(
        "made", "case", "", observation, GroundTruth("service-0", "cpu", Injection(inject_ns))
    )


def load_native(path: Path) -> object:
    """Read and prepare, from Parquet."""
    return prepare(native.read_case(path, "made"))


def load_csv(path: Path) -> object:
    """Read and prepare, from CSV."""
    return prepare(rcaeval.read_case(path, "made"))


def prepare(case: Case) -> object:
    """Cut into windows, as methods do."""
    from rca_benchmark.preprocess import split_windows

    return split_windows(case.observation)


def write_listing(root: Path, case: Case, count: int) -> None:
    """Manifest, index and empty folders: all that a listing looks at."""
    row = case_rows([case])
    names = [f"case-{number:05d}" for number in range(count)]
    rows = pd.concat([row] * count, ignore_index=True).assign(case=names, path=names)
    for name in names:
        (root / name).mkdir(parents=True)
    write_parquet(root / INDEX, rows)
    manifest = {
        "schema": 1,
        "name": "many",
        "version": "1",
        "licence": "none",
        "index": native.sha256(root / INDEX),
        "cases": dict.fromkeys(names, "0" * 64),
    }
    (root / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def figures(label: str, load: Callable[[Path], object], path: Path, repeat: int) -> None:
    """Print time and memory of one way of loading."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        first_s, warm_s, peak_mb = pool.apply(measure, (load, path, repeat))
    print(f"  {label:16} {warm_s * 1e3:8.1f} ms (first {first_s * 1e3:.1f} ms)  {peak_mb:6.1f} MB")


def measure(load: Callable[[Path], object], path: Path, repeat: int) -> tuple[float, float, float]:
    """Seconds of the first load, median seconds of the others, growth of the peak in MB."""
    import pyarrow.parquet  # noqa: F401 - imports are not what is measured

    import rca_benchmark.preprocess  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        loaded: Any = load(path)
        seconds.append(time.perf_counter() - start)
        del loaded
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return seconds[0], statistics.median(seconds[1:]), peak / 1024


if __name__ == "__main__":
    main()
