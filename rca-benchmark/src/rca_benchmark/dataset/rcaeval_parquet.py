"""RCAEval's Parquet form: ``<benchmark>_<service>_<fault>_<n>/metrics.parquet``, an index beside.

Source: the layout that RCAEval 1.8.1's ``read_metrics``, ``read_logs`` and ``read_traces`` read.
The index ``cases.parquet`` has one row per case: ``case``, ``root_cause_service``, ``fault``. Where
a download left the index out, the folder's name says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
)
from rca_benchmark.dataset.parquet import read_parquet
from rca_benchmark.dataset.rcaeval import drop_second_time
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

NAME: Final = "rcaeval-parquet"
EXPECTED: Final = "<benchmark>_<service>_<fault>_<n>/metrics.parquet"
INDEX: Final = "cases.parquet"
_INDEX_COLUMNS: Final = ["case", "root_cause_service", "fault"]


def find(root: Path) -> list[Path]:
    """Every folder with metrics; the index may list more than was downloaded."""
    return [path for path in folders(root) if is_case(path)]


def is_case(directory: Path) -> bool:
    """Whether a folder holds metrics as Parquet and is no case of another layout."""
    others = ("case.json", "data.csv")
    return (directory / "metrics.parquet").is_file() and not any(
        (directory / name).is_file() for name in others
    )


def case_name(directory: Path) -> str:
    """The folder's name."""
    return directory.name


def read_case(directory: Path, dataset: str) -> Case:
    """Read one case folder.

    Raises:
        CaseError: a file is missing or cannot be read, or the ground truth is unknown.
    """
    service, fault = _truth(directory)
    return build_case(directory, dataset, directory.name, _read(directory), service, fault)


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of a case folder.

    Raises:
        CaseError: as for ``read_case``.
    """
    return _read(directory).observation


def _truth(directory: Path) -> tuple[str, str]:
    path = directory.parent / INDEX
    if path.is_file():
        rows = read_parquet(path, _INDEX_COLUMNS)
        row = rows[rows["case"] == directory.name]
        if len(row) != 1:
            raise CaseError(f"{path}: {len(row)} rows for case {directory.name}, expected 1")
        return str(row["root_cause_service"].iloc[0]), str(row["fault"].iloc[0])
    parts = directory.name.split("_")
    if len(parts) != 4 or not all(parts):
        raise CaseError(
            f"{directory}: no {INDEX} beside it, and not named <benchmark>_<service>_<fault>_<n>"
        )
    return parts[1], parts[2]


def _read(directory: Path) -> Telemetry:
    path = directory / "metrics.parquet"
    logs, traces = directory / "logs.parquet", directory / "traces.parquet"
    inject_time_ns = read_inject_second(directory / "inject_time.txt")
    try:
        metrics, step_ns, notes = to_grid(drop_second_time(read_parquet(path)), inject_time_ns)
        observation = Observation(
            metrics=metrics,
            logs=_read_events(logs, to_logs, LOG_COLUMNS),
            traces=_read_events(traces, to_traces, TRACE_COLUMNS),
            topology=typed_table([], EDGE_COLUMNS),
            inject_time_ns=inject_time_ns,
            sli=entry_sli(metrics.columns),
            services=tuple(sorted({service_of(str(name)) for name in metrics.columns[1:]})),
            step_ns=step_ns,
        )
    except CaseError as error:
        where = "" if str(directory) in str(error) else f"{path}: "
        raise CaseError(f"{where}{error}") from error
    files = tuple(file for file in (path, logs, traces) if file.is_file())
    return Telemetry(observation, notes, files)


def _read_events(
    path: Path, convert: Callable[[pd.DataFrame], pd.DataFrame], columns: dict[str, str]
) -> pd.DataFrame:
    if not path.is_file():
        return typed_table([], columns)
    raw = read_parquet(path)
    try:
        return convert(raw)
    except CaseError as error:
        raise CaseError(f"{path}: {error}") from error
