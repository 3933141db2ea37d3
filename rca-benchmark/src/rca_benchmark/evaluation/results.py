"""The table of results: one row per (data set, case, method)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rca_benchmark.errors import BenchError

FILE: Final = "results.parquet"
SCHEMA: Final = pa.schema(
    [
        ("dataset", pa.string()),
        ("case", pa.string()),
        ("method", pa.string()),
        ("fault", pa.string()),
        ("target", pa.string()),
        # ok; failed (the method gave no answer, counts as wrong); error (the case is unreadable)
        ("status", pa.string()),
        ("reason", pa.string()),
        ("services", pa.list_(pa.string())),
        ("indicators", pa.list_(pa.string())),
        ("indicator", pa.string()),  # the true one, where it is known
        ("rank_service", pa.int64()),
        ("rank_indicator", pa.int64()),
        ("candidates", pa.int64()),
        ("candidate_indicators", pa.int64()),
        ("seconds", pa.float64()),
        ("seed", pa.int64()),
    ]
)


def write_results(table: pa.Table, directory: Path) -> None:
    """Write the table to ``results.parquet`` in the directory, whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".results.") as partial:
        path = Path(partial) / FILE
        pq.write_table(table, path)
        path.replace(directory / FILE)


def read_results(directory: Path) -> pd.DataFrame:
    """Read the table; integers that may be missing are nullable.

    Raises:
        BenchError: it is missing, cannot be read, or has other columns.
    """
    path = directory / FILE
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BenchError(f"{path}: cannot be read: {error}; run evaluate first") from error
    if missing := set(SCHEMA.names) - set(table.column_names):
        raise BenchError(f"{path}: columns missing: {sorted(missing)}; run evaluate again")
    return to_frame(table)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The results as a data frame; integers that may be missing are nullable."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame
