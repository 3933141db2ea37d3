"""RCAEval's legacy layout: ``<service>_<fault>/<instance>/{data.csv, inject_time.txt}``.

Only metrics and inject time are read. Layout: Pham et al., "RCAEval: A Benchmark for Root Cause
Analysis of Microservice Systems with Telemetry Data", WWW Companion 2025.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

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
    service_of,
    typed_table,
)
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

METRIC_FILES: Final = ("data.csv", "simple_metrics.csv", "metrics.csv")
_SECOND_NS: Final = 1_000_000_000


def is_legacy_case(directory: Path) -> bool:
    """Whether a folder holds any of the files that make a legacy case."""
    return any((directory / name).is_file() for name in (*METRIC_FILES, "inject_time.txt"))


def read_case(directory: Path, dataset: str) -> Case:
    """Read one instance folder. The folder above it names target and fault.

    Raises:
        CaseError: a file is missing or cannot be read, or times are not on a fixed step.
    """
    service, _, fault = directory.parent.name.partition("_")
    if not service or not fault:
        raise CaseError(f"{directory}: the folder above is not named <service>_<fault>")
    observation = read_observation(directory)
    digest = hashlib.sha256(_metrics_file(directory).read_bytes())
    digest.update(str(observation.inject_time_ns).encode())
    if observation.inject_time_ns is None:
        raise CaseError(f"{directory}: no inject time")
    truth = GroundTruth(service, fault, Injection(active_ns=observation.inject_time_ns))
    name = f"{directory.parent.name}/{directory.name}"
    try:
        return Case(dataset, name, digest.hexdigest(), observation, truth)
    except CaseError as error:
        raise CaseError(f"{directory}: {error}") from error


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of an instance folder.

    Raises:
        CaseError: as for ``read_case``.
    """
    path = _metrics_file(directory)
    try:
        metrics, step_ns = _read_metrics(path)
        return Observation(
            metrics=metrics,
            logs=typed_table([], LOG_COLUMNS),
            traces=typed_table([], TRACE_COLUMNS),
            topology=typed_table([], EDGE_COLUMNS),
            inject_time_ns=_read_inject_time(directory / "inject_time.txt"),
            sli=None,
            services=tuple(sorted({service_of(str(name)) for name in metrics.columns[1:]})),
            step_ns=step_ns,
        )
    except CaseError as error:
        raise CaseError(f"{path}: {error}") from error


def _metrics_file(directory: Path) -> Path:
    for name in METRIC_FILES:
        if (directory / name).is_file():
            return directory / name
    raise CaseError(f"{directory}: none of {', '.join(METRIC_FILES)} is there")


def _read_inject_time(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8").split()[0]) * _SECOND_NS
    except (OSError, ValueError, IndexError) as error:
        raise CaseError(f"{path.name} must hold one whole epoch second: {error}") from error


def _read_metrics(path: Path) -> tuple[pd.DataFrame, int]:
    """Metrics on their fixed step; rows that are missing from the file become null."""
    try:
        raw = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CaseError(f"cannot be read: {error}") from error
    if "time" not in raw.columns or len(raw) < 2:
        raise CaseError("needs a column time and at least two rows")
    # Some published files carry the time twice.
    raw = raw.drop(columns=[name for name in raw.columns if name == "time.1"])
    times = raw["time"].to_numpy(dtype="int64")
    steps = np.diff(times)
    step = int(steps.min())
    if step <= 0:
        raise CaseError(f"row {int(steps.argmin()) + 1}: time does not increase")
    if (off := np.flatnonzero(steps % step)).size:
        raise CaseError(f"row {int(off[0]) + 1}: time is not on the fixed step of {step} s")
    grid = pd.Index(np.arange(times[0], times[-1] + step, step), name="time")
    try:
        values = raw.drop(columns="time").astype("float64").set_axis(times).reindex(grid)
    except ValueError as error:
        raise CaseError(f"a metric is not a number: {error}") from error
    time = pd.Series(grid.to_numpy(dtype="int64") * _SECOND_NS, index=grid, name="time")
    return pd.concat([time, values], axis=1).reset_index(drop=True), step * _SECOND_NS
