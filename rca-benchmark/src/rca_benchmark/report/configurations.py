"""Which rows of the results feed which picture, where there are several configurations.

A configuration is a detection delay (``tdelta``) and a window length (``length``, null for all).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is swept: the column, and the other one, which stays at its default meanwhile.
SWEPT: Final = {"tdelta": "length", "length": "tdelta"}


def readable_rows(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of the cases that could be read.

    Raises:
        BenchError: there is none.
    """
    rows = results[results["status"] != "error"]
    if rows.empty:
        raise BenchError("no readable case in the results: nothing to report")
    return rows


def default_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each data set's default: the shortest delay and the longest window."""
    return rows[_is_default(rows, "tdelta") & _is_default(rows, "length")]


def sweeps(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each swept column with its rows; the other column is at its default in them.

    Args:
        rows: of one data set.
    """
    for swept, other in SWEPT.items():
        kept = rows[_is_default(rows, other)]
        values = _order(kept, swept)
        if len(set(values)) > 1:
            yield swept, kept.assign(value=values)


def _is_default(rows: pd.DataFrame, column: str) -> pd.Series[bool]:
    order = _order(rows, column)
    groups = order.groupby(rows["dataset"])
    chosen = groups.transform("min") if column == "tdelta" else groups.transform("max")
    return order.eq(chosen)


def _order(rows: pd.DataFrame, column: str) -> pd.Series[float]:
    """The column as numbers; a length of null, the whole window, is the greatest."""
    numbers = pd.to_numeric(rows[column]).astype("Float64")
    return numbers.fillna(np.inf).astype("float64")
