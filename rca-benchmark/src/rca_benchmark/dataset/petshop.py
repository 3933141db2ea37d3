"""PetShop as Amazon publishes it: ``<traffic>/{graph.csv, noissue/, train/, test/}``.

Source: Hardt et al., "The PetShop Dataset: Finding Causes of Performance Issues across
Microservices", CLeaR 2024; github.com/amazon-science/petshop-root-cause-analysis.

The fault-free metrics were recorded in another month: they are moved in time to end one step before
the issue, and the inject time is the issue's first row. Availability becomes ``error`` (100 less
availability, in percent), so that more is worse in every indicator but ``requests``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import (
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Case,
    Observation,
    service_of,
    typed_table,
)
from rca_benchmark.dataset.grid import to_grid
from rca_benchmark.dataset.layout import (
    SECOND_NS,
    Telemetry,
    build_case,
    entry_sli,
    folders,
    read_json,
    service_name,
)
from rca_benchmark.dataset.rcaeval import read_graph
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "petshop"
EXPECTED: Final = "<traffic>/{train,test}/<issue>/target.json"
STEP_S: Final = 300
_SPLITS: Final = ("train", "test")
_METRICS: Final = {
    ("latency", "Average"): "latency-avg",
    ("latency", "p50"): "latency-50",
    ("latency", "p90"): "latency-90",
    ("latency", "p95"): "latency-95",
    ("latency", "p99"): "latency-99",
    ("requests", "Sum"): "requests",
    ("availability", "Average"): "error",
}


def find(root: Path) -> list[Path]:
    """The issue folders of one traffic scenario, or of all scenarios in the folder."""
    scenarios = [root, *folders(root)]
    return [
        issue
        for scenario in scenarios
        if (scenario / "noissue" / "metrics.csv").is_file()
        for split in _SPLITS
        if (scenario / split).is_dir()
        for issue in folders(scenario / split)
        if is_case(issue)
    ]


def is_case(directory: Path) -> bool:
    """Whether a folder holds an issue."""
    return (directory / "target.json").is_file()


def case_name(directory: Path) -> str:
    """``<traffic>/<split>/<issue>``."""
    return "/".join(directory.absolute().parts[-3:])


def read_case(directory: Path, dataset: str) -> Case:
    """Read one issue. The fault is what users saw: ``latency`` or ``availability``.

    Raises:
        CaseError: a file is missing or cannot be read.
    """
    path = directory / "target.json"
    document = read_json(path)
    try:
        service = service_name(document["root_cause"]["node"])
        fault = document["target"]["metric"]
    except (KeyError, TypeError) as error:
        raise CaseError(f"{path}: names no root cause or no target: {error}") from error
    return build_case(directory, dataset, case_name(directory), _read(directory), service, fault)


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of an issue.

    Raises:
        CaseError: as for ``read_case``.
    """
    return _read(directory).observation


def _read(directory: Path) -> Telemetry:
    scenario = directory.absolute().parents[1]
    files = (
        directory / "metrics.csv",
        scenario / "noissue" / "metrics.csv",
        scenario / "graph.csv",
    )
    issue, normal = _read_metrics(files[0]), _read_metrics(files[1])
    inject_s = int(issue["time"].iloc[0])
    shift_s = inject_s - STEP_S - int(normal["time"].iloc[-1])
    both = pd.concat([normal.assign(time=normal["time"] + shift_s), issue], ignore_index=True)
    try:
        metrics, step_ns, notes = to_grid(both, inject_s * SECOND_NS)
        observation = Observation(
            metrics=metrics,
            logs=typed_table([], LOG_COLUMNS),
            traces=typed_table([], TRACE_COLUMNS),
            topology=read_graph(files[2]),
            inject_time_ns=inject_s * SECOND_NS,
            sli=entry_sli(metrics.columns),
            services=tuple(sorted({service_of(str(name)) for name in metrics.columns[1:]})),
            step_ns=step_ns,
        )
    except CaseError as error:
        raise CaseError(f"{directory}: {error}") from error
    moved = f"metrics: fault-free rows moved by {shift_s} s to end {STEP_S} s before the issue"
    return Telemetry(observation, (moved, *notes), files)


def _read_metrics(path: Path) -> pd.DataFrame:
    """Wide metrics from a file with three header rows: microservice, metric, statistic."""
    try:
        raw = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    except (OSError, ValueError, IndexError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    if raw.empty or not np.isfinite(raw.index.to_numpy(dtype="float64")).all():
        raise CaseError(f"{path}: needs rows with a unix_timestamp")
    columns: dict[str, Any] = {"time": raw.index.to_numpy(dtype="int64")}
    levels = [raw.columns.get_level_values(level).astype("str") for level in range(3)]
    for number, (node, metric, statistic) in enumerate(zip(*levels, strict=True)):
        if (metric, statistic) not in _METRICS:
            raise CaseError(f"{path}: column {metric} {statistic} of {node} is not known")
        name = _METRICS[metric, statistic]
        values = raw.iloc[:, number].to_numpy(dtype="float64")
        columns[f"{service_name(node)}_{name}"] = 100 - values if name == "error" else values
    return pd.DataFrame(columns)
