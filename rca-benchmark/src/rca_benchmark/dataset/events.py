"""Logs and traces with RCAEval's columns, as the tables of an observation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

_EARLIEST_NS: Final = 10**18  # 2001: anything smaller is not in nanoseconds
_EARLIEST_US: Final = 10**15


def to_logs(raw: pd.DataFrame) -> pd.DataFrame:
    """Log records, sorted by time.

    Args:
        raw: ``timestamp`` (epoch ns), ``container_name``, ``message``; ``level`` and
            ``source`` where known.

    Raises:
        CaseError: a column is missing, or a value does not fit; the message names the row.
    """
    _require(raw, ("timestamp", "container_name", "message"))
    table = pd.DataFrame(
        {
            "time": _whole(raw, "timestamp", earliest=_EARLIEST_NS),
            "service": _text(raw, "container_name"),
            "level": _text(raw, "level"),
            "message": _text(raw, "message"),
            "source": _text(raw, "source"),
        }
    )
    return typed_table(table.sort_values("time", kind="stable"), LOG_COLUMNS)


def to_traces(raw: pd.DataFrame) -> pd.DataFrame:
    """Spans, in the order of their start.

    Args:
        raw: ``TRACE_COLUMNS``, times in µs; ``methodName``, ``operationName``, ``parentSpanID`` and
            ``statusCode`` may be absent or empty (status 0 is unset).

    Raises:
        CaseError: a column is missing, or a value does not fit; the message names the row.
    """
    _require(raw, ("traceID", "spanID", "serviceName", "startTime", "duration"))
    columns: Mapping[str, pd.Series] = {
        name: _text(raw, name) for name, dtype in TRACE_COLUMNS.items() if dtype == "str"
    }
    table = pd.DataFrame(columns).assign(
        startTime=_whole(raw, "startTime", earliest=_EARLIEST_US),
        duration=_whole(raw, "duration"),
        statusCode=_whole(raw, "statusCode", missing=0),
    )
    return typed_table(table.sort_values("startTime", kind="stable"), TRACE_COLUMNS)


def _require(raw: pd.DataFrame, names: tuple[str, ...]) -> None:
    if missing := [name for name in names if name not in raw.columns]:
        raise CaseError(f"columns missing: {', '.join(missing)}")


def _text(raw: pd.DataFrame, name: str) -> pd.Series:
    if name not in raw.columns:
        return pd.Series("", index=raw.index, dtype="str")
    return raw[name].astype("str").where(raw[name].notna(), "")


def _whole(
    raw: pd.DataFrame, name: str, *, earliest: int = 0, missing: int | None = None
) -> pd.Series:
    """A column of whole numbers; text is read exactly, not through a float."""
    if name not in raw.columns and missing is not None:
        return pd.Series(missing, index=raw.index, dtype="int64")
    numbers = pd.to_numeric(raw[name], errors="coerce")
    if missing is not None:
        numbers = numbers.mask(raw[name].isna(), missing)
    wrong = ~np.isfinite(numbers.to_numpy(dtype="float64")) | (numbers < earliest)
    if (bad := np.flatnonzero(wrong)).size:
        value = raw[name].iloc[int(bad[0])]
        unit = f" of {earliest} or more" if earliest else " of 0 or more"
        raise CaseError(f"row {bad[0]}: {name} {value!r} is not a whole number{unit}")
    return numbers.astype("int64")
