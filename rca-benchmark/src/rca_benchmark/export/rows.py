"""Rows by the million: kept as columns, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from rca_benchmark.case import typed_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# A row of Python objects takes some ten times the memory of the same row in columns.
BATCH: Final = 20_000
_TYPES: Final = {"str": pa.large_string(), "int64": pa.int64()}


class Rows:
    """Collects rows of a table.

    Args:
        columns: names and dtypes, such as ``case.LOG_COLUMNS``.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns
        self._open: list[tuple[Any, ...]] = []
        self._closed: list[pa.Table] = []

    def __len__(self) -> int:
        return len(self._open) + sum(int(part.num_rows) for part in self._closed)

    def append(self, row: tuple[Any, ...]) -> None:
        """Add one row, its values in the order of the columns."""
        self._open.append(row)
        if len(self._open) >= BATCH:
            self._close()

    def extend(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows."""
        for row in rows:
            self.append(row)

    def table(self) -> pd.DataFrame:
        """All rows; the collector is empty afterwards."""
        self._close()
        parts, self._closed = self._closed, []
        if not parts:
            return typed_table([], self._columns)
        return typed_table(pa.concat_tables(parts).to_pandas(), self._columns)

    def _close(self) -> None:
        """Turn the open rows into columns; ValueError or TypeError where a value does not fit."""
        if self._open:
            arrays = {
                name: pa.array(values, _TYPES[dtype])
                for (name, dtype), values in zip(
                    self._columns.items(), zip(*self._open, strict=True), strict=True
                )
            }
            self._closed.append(pa.table(arrays))
            self._open = []


def stack(tables: Sequence[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    """Tables of the same columns, one below the other."""
    filled = [table for table in tables if not table.empty]
    if not filled:
        return typed_table([], columns)
    return filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)


def in_order(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """A table sorted by one column, rows of equal value in their order.

    Column by column, so that no second copy of the whole table is ever held.
    """
    if table[by].is_monotonic_increasing:
        return table
    order = table[by].to_numpy().argsort(kind="stable")
    columns = {name: table.pop(name) for name in list(table.columns)}
    ordered = {}
    for name in list(columns):
        ordered[name] = columns.pop(name).take(order).reset_index(drop=True)
    return pd.DataFrame(ordered, copy=False)
