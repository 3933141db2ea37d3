"""The table of results: one row per (data set, case, method, configuration), kept as it grows."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = dict[str, Any]
# Which row it is: data set, case, method, tdelta, length. A second run replaces it.
Identity = tuple[str, str, str, float, int | None]

FILE: Final = "results.parquet"
JOURNAL: Final = "results.journal.jsonl"
SAVE_EVERY: Final = 30.0  # seconds between two versions of results.parquet during a run
SCHEMA: Final = pa.schema(
    [
        ("dataset", pa.string()),
        ("case", pa.string()),
        ("method", pa.string()),
        ("fault", pa.string()),
        ("target", pa.string()),
        ("tdelta", pa.float64()),  # seconds
        ("length", pa.int64()),  # rows on each side of the inject time; null: all
        # ok; failed, timeout, oom (no answer, counts as wrong); error (the case is unreadable)
        ("status", pa.string()),
        ("reason", pa.string()),
        ("services", pa.list_(pa.string())),
        ("indicators", pa.list_(pa.string())),
        ("rank_service", pa.int64()),
        ("rank_indicator", pa.int64()),
        ("candidates", pa.int64()),  # services that can be named
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("peak_mb", pa.float64()),  # highest resident memory of the process, MiB
        ("seed", pa.int64()),
        ("indicator", pa.string()),  # the true one, where it is known
        ("candidate_indicators", pa.int64()),
        ("case_digest", pa.string()),
        ("method_version", pa.string()),
        ("preparation", pa.string()),  # all settings, JSON
        ("gap_share", pa.float64()),  # of the metric values in the window, before filling
        ("limit_seconds", pa.float64()),
        ("limit_mb", pa.int64()),
    ]
)


def identity(row: Row) -> Identity:
    """Which row it is, whatever it says."""
    return (row["dataset"], row["case"], row["method"], row["tdelta"], row["length"])


def answers_for(row: Row, wanted: Row) -> bool:
    """Whether a kept row of the same identity is what would be computed anew.

    It is when the content of the case, the method's version, the preparation and the seed are the
    same. An answer that was cut off by a limit also needs the same limits. Unreadable cases are
    always read again.
    """
    names = ["case_digest", "method_version", "preparation", "seed"]
    if row["status"] in ("timeout", "oom"):
        names += ["limit_seconds", "limit_mb"]
    return row["status"] != "error" and all(row[name] == wanted[name] for name in names)


class ResultStore:
    """The results of a folder: read at the start, safe on disk after each row.

    Rows go to a journal at once and to ``results.parquet`` every half minute and at the end.
    Whatever ends the process, the next one finds every row that was added.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rows: dict[Identity, Row] = {}
        self._journal = -1
        self._saved = time.monotonic()

    @classmethod
    @contextlib.contextmanager
    def opened(cls, directory: Path) -> Iterator[ResultStore]:
        """Open the folder for one run; its results are saved however the run ends.

        Raises:
            BenchError: another run writes to the folder, or its results cannot be read.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            store = cls(directory)
            store._journal = os.open(directory / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                store._read()
                try:
                    yield store
                finally:
                    store.save()
                    (directory / JOURNAL).unlink()
            finally:
                os.close(store._journal)

    def add(self, row: Row) -> None:
        """Keep a row, in place of one of the same identity."""
        full = {name: row.get(name) for name in SCHEMA.names}
        os.write(self._journal, json.dumps(full).encode() + b"\n")
        self.rows[identity(full)] = full
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write all rows to ``results.parquet``; empty the journal."""
        if self.rows:
            write_results(self.table(), self.directory)
        os.ftruncate(self._journal, 0)
        self._saved = time.monotonic()

    def table(self) -> pa.Table:
        """All rows, in an order that does not depend on when they came."""
        return to_table(self.rows.values())

    def _read(self) -> None:
        if (self.directory / FILE).exists():
            for row in _read_table(self.directory).to_pylist():
                self.rows[identity(row)] = row
        lines = (self.directory / JOURNAL).read_bytes().split(b"\n")
        for line in lines[:-1]:  # what follows the last line break was cut off
            row = json.loads(line)
            self.rows[identity(row)] = row


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table, by data set, case, configuration, method."""

    def place(row: Row) -> tuple[Any, ...]:
        length = math.inf if row["length"] is None else row["length"]
        return (row["dataset"], row["case"], row["tdelta"], length, row["method"])

    return pa.Table.from_pylist(sorted(rows, key=place), schema=SCHEMA)


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
    return to_frame(_read_table(directory))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The results as a data frame; integers that may be missing are nullable."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Nobody else may write to the folder meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BenchError(f"{directory}: another evaluation writes to it") from error
    finally:
        os.close(descriptor)


def _read_table(directory: Path) -> pa.Table:
    path = directory / FILE
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BenchError(f"{path}: cannot be read: {error}; run evaluate first") from error
    if missing := set(SCHEMA.names) - set(table.column_names):
        raise BenchError(
            f"{path}: columns missing: {sorted(missing)}; remove it and run evaluate again"
        )
    return table
