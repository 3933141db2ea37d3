"""RCAEval's legacy layout: ``<service>_<fault>/<instance>/{data.csv, inject_time.txt, ...}``.

Source: Pham et al., "RCAEval: A Benchmark for Root Cause Analysis of Microservice Systems with
Telemetry Data", WWW Companion 2025. PetShop in this layout has a call graph beside its cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Case,
    Observation,
    service_of,
    typed_table,
)
from rca_benchmark.dataset.events import to_logs, to_traces
from rca_benchmark.dataset.grid import to_grid
from rca_benchmark.dataset.layout import (
    Telemetry,
    build_case,
    entry_sli,
    folders,
    read_inject_second,
    service_name,
)
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME: Final = "rcaeval"
EXPECTED: Final = "<service>_<fault>/<n>/data.csv"
METRIC_FILES: Final = ("data.csv", "simple_metrics.csv", "metrics.csv")


def find(root: Path) -> list[Path]:
    """The instance folders, if any of them holds a metric file or an inject time."""
    targets = [folder for folder in folders(root) if "_" in folder.name]
    instances = [path for folder in targets for path in folders(folder)]
    return instances if any(is_case(path) for path in instances) else []


def is_case(directory: Path) -> bool:
    """Whether a folder holds any of the files that make a legacy case."""
    return any((directory / name).is_file() for name in (*METRIC_FILES, "inject_time.txt"))


def case_name(directory: Path) -> str:
    """``<service>_<fault>/<instance>``."""
    return f"{directory.parent.name}/{directory.name}"


def read_case(directory: Path, dataset: str) -> Case:
    """Read one instance folder. The folder above it names target and fault.

    Raises:
        CaseError: a file is missing or cannot be read, or times are not on a fixed step.
    """
    service, _, fault = directory.parent.name.partition("_")
    if not service or not fault:
        raise CaseError(f"{directory}: the folder above is not named <service>_<fault>")
    telemetry = _read(directory)
    return build_case(directory, dataset, case_name(directory), telemetry, service, fault)


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of an instance folder.

    Raises:
        CaseError: as for ``read_case``.
    """
    return _read(directory).observation


def read_graph(path: Path) -> pd.DataFrame:
    """Call edges from an adjacency matrix whose rows are callers and whose columns are callees.

    Raises:
        CaseError: the file cannot be read, or is no square matrix of names.
    """
    try:
        matrix = pd.read_csv(path, index_col=0)
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    if list(matrix.index) != list(matrix.columns):
        raise CaseError(f"{path}: rows and columns name different nodes")
    edges = [
        (service_name(str(source)), service_name(str(target)), "call")
        for source, row in matrix.iterrows()
        for target in matrix.columns[row.to_numpy() > 0]
    ]
    return typed_table(edges, EDGE_COLUMNS).drop_duplicates(ignore_index=True)


def _read(directory: Path) -> Telemetry:
    path = _metrics_file(directory)
    inject_time_ns = read_inject_second(directory / "inject_time.txt")
    logs, traces = directory / "logs.csv", directory / "traces.csv"
    graph = directory.absolute().parents[1] / "graph.csv"
    try:
        metrics, step_ns, notes = to_grid(_read_metrics(path), inject_time_ns)
        observation = Observation(
            metrics=metrics,
            logs=_read_events(logs, to_logs, LOG_COLUMNS),
            traces=_read_events(traces, to_traces, TRACE_COLUMNS),
            topology=read_graph(graph) if graph.is_file() else typed_table([], EDGE_COLUMNS),
            inject_time_ns=inject_time_ns,
            sli=entry_sli(metrics.columns),
            services=tuple(sorted({service_of(str(name)) for name in metrics.columns[1:]})),
            step_ns=step_ns,
        )
    except CaseError as error:
        named = any(str(file) in str(error) for file in (logs, traces, graph))
        raise CaseError(str(error) if named else f"{path}: {error}") from error
    files = tuple(file for file in (path, logs, traces, graph) if file.is_file())
    return Telemetry(observation, notes, files)


def _metrics_file(directory: Path) -> Path:
    for name in METRIC_FILES:
        if (directory / name).is_file():
            return directory / name
    raise CaseError(f"{directory}: none of {', '.join(METRIC_FILES)} is there")


def _read_metrics(path: Path) -> pd.DataFrame:
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype="str").iloc[0]
        raw = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CaseError(f"cannot be read: {error}") from error
    if (twice := header[header.duplicated() & (header != "time")]).size:
        raise CaseError(f"column {twice.iloc[0]} occurs twice")
    return drop_second_time(raw)


def drop_second_time(raw: pd.DataFrame) -> pd.DataFrame:
    """Metrics without the second column of times that some published files carry."""
    return raw.drop(columns=[name for name in raw.columns if name == "time.1"])


def _read_events(
    path: Path, convert: Callable[[pd.DataFrame], pd.DataFrame], columns: dict[str, str]
) -> pd.DataFrame:
    if not path.is_file():
        return typed_table([], columns)
    try:
        # As text: a nanosecond does not survive a float.
        return convert(pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""]))
    except (OSError, ValueError, CaseError) as error:
        raise CaseError(f"{path}: {error}") from error
