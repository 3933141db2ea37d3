"""From an observation to what methods compare; every step explicit, and the same for all.

``prepare`` is applied once per case; methods then call ``split_windows``, ``log_counts``,
``span_counts`` and ``span_latency``, which are computed once per prepared observation.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from rca_benchmark.errors import BenchError, MethodFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

Value = TypeVar("Value")

_SECOND: Final = 1_000_000_000


@dataclass
class _Values:
    """What has been computed for one prepared observation."""

    own: dict[Hashable, Any] = field(default_factory=dict)
    timeless: dict[Hashable, Any] = field(default_factory=dict)


_SHARED: Final[WeakKeyDictionary[Observation, _Values]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Preparation:
    """What is done to every observation before any method sees it.

    Attributes:
        tdelta: detection delay: seconds by which the inject time that methods are told is late.
        length: rows kept on each side of the told inject time; all where None.
        fill_limit: longest run of gaps, in rows, that takes the value before it; 0 fills none.
        near_constant: an indicator is emptied when no more than this share of its values differ
            from its most frequent value; 0 empties what is constant and nothing else.

    Raises:
        ValueError: a value is out of its range.
    """

    tdelta: float = 0.0
    length: int | None = None
    fill_limit: int = 5
    near_constant: float = 0.0

    def __post_init__(self) -> None:
        if self.tdelta < 0 or self.fill_limit < 0 or not 0 <= self.near_constant < 1:
            raise ValueError(f"out of range: {self}")
        if self.length is not None and self.length < 1:
            raise ValueError(f"a window of {self.length} rows is none")

    def __str__(self) -> str:
        """The settings as JSON, as recorded in the results."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An observation ready for methods, and what was done to it.

    Attributes:
        observation: read-only tables; indicators keep their names and order.
        constant: indicators emptied (all null) because they carry nothing.
        infinite: number of infinite values that became gaps.
        filled: number of gaps filled with the value before them.
        gap_share: share of metric values that were gaps before filling, between 0 and 1.
    """

    observation: Observation
    constant: tuple[str, ...]
    infinite: int
    filled: int
    gap_share: float


@dataclass(frozen=True, eq=False)
class Windows:
    """Metrics before and after the inject time, one column per indicator, without ``time``.

    Attributes:
        normal: rows before the inject time.
        anomalous: rows from the inject time on.
        constant: indicators left out because they never change in both windows together.
        empty: indicators left out because one of the windows holds no value of theirs.
    """

    normal: pd.DataFrame
    anomalous: pd.DataFrame
    constant: tuple[str, ...]
    empty: tuple[str, ...]

    @property
    def indicators(self) -> list[str]:
        """Names of the columns of both windows."""
        return [str(name) for name in self.normal.columns]


def prepare(observation: Observation, preparation: Preparation) -> Prepared:
    """Delay the inject time, cut the window, turn infinite values to gaps, fill, empty constants.

    A gap takes the value before it; nothing is filled backwards and nothing is interpolated, and
    no value from outside the window is used. Logs and spans outside the window are left out.

    Args:
        observation: not modified.
        preparation: the settings.

    Raises:
        BenchError: the delay leaves no row after the inject time.
    """
    times = observation.metrics["time"].to_numpy()
    inject_time_ns = _delayed(observation, preparation.tdelta)
    rows = _rows(times, inject_time_ns, preparation.length)
    raw = observation.metrics.iloc[rows, 1:].to_numpy(dtype=np.float64)
    infinite = np.isinf(raw)
    gappy = np.where(infinite, np.nan, raw)
    values = _fill_forwards(gappy, preparation.fill_limit)
    filled = int((np.isnan(gappy) & ~np.isnan(values)).sum())
    flat = _carries_nothing(values, preparation.near_constant)
    names = observation.indicators
    values[:, flat] = np.nan
    values.setflags(write=False)
    metrics = pd.DataFrame(values, columns=names, copy=False)
    metrics.insert(0, "time", times[rows])
    first, end = int(times[rows][0]), int(times[rows][-1]) + observation.step_ns
    prepared = dataclasses.replace(
        observation,
        metrics=metrics,
        logs=_between(observation.logs, "time", first, end),
        traces=_between(observation.traces, "startTime", first // 1000, end // 1000),
        inject_time_ns=inject_time_ns,
    )
    _SHARED[prepared] = _Values()
    return Prepared(
        observation=prepared,
        constant=tuple(name for name, empty in zip(names, flat, strict=True) if empty),
        infinite=int(infinite.sum()),
        filled=filled,
        gap_share=float(np.isnan(gappy).mean()) if gappy.size else 0.0,
    )


def without_inject_time(observation: Observation) -> Observation:
    """The same prepared observation for methods that are not told when the fault began."""
    untold = dataclasses.replace(observation, inject_time_ns=None)
    timeless = _SHARED[observation].timeless if observation in _SHARED else {}
    _SHARED[untold] = _Values(timeless=timeless)
    return untold


def shared(
    observation: Observation,
    key: Hashable,
    compute: Callable[[], Value],
    *,
    timeless: bool = False,
) -> Value:
    """A value that several methods need of the same case, computed once.

    Only for prepared observations: any other may be changed by its owner, and is computed anew.

    Args:
        observation: what the value is computed from, and nothing else.
        key: names the value and all of its settings.
        compute: makes it; callers must not change what it returns.
        timeless: it does not depend on the inject time, so that methods which are told that time
            and methods which are not can share it.
    """
    values = _SHARED.get(observation)
    if values is None:
        return compute()
    known = values.timeless if timeless else values.own
    if key not in known:
        known[key] = compute()
    value: Value = known[key]
    return value


def split_windows(observation: Observation) -> Windows:
    """Cut the metrics at the inject time.

    Whether an indicator is constant is decided over both windows together: one that is constant
    before the fault and changes during it is a finding. Infinite values count as gaps.

    Raises:
        MethodFailed: there is no inject time, or no indicator is left.
    """
    return shared(observation, "windows", lambda: _split(observation))


def log_counts(observation: Observation, *, level: str | None = None) -> pd.DataFrame:
    """Log lines per step: rows as in ``metrics``, one column per candidate service.

    Args:
        observation: gives the logs and the steps.
        level: only lines of this level (compared in upper case); all lines where None.
    """

    def count() -> pd.DataFrame:
        logs = observation.logs
        if level is not None:
            logs = logs[logs["level"].str.upper() == level.upper()]
        return _counts(observation, logs["service"], logs["time"].to_numpy())

    return shared(observation, ("log counts", level), count)


def span_counts(observation: Observation, *, failed_only: bool = False) -> pd.DataFrame:
    """Spans that start per step: rows as in ``metrics``, one column per candidate service.

    Args:
        observation: gives the spans and the steps.
        failed_only: only spans that ended in an error, see ``failed_spans``.
    """

    def count() -> pd.DataFrame:
        spans = observation.traces
        if failed_only:
            spans = spans[failed_spans(spans)]
        return _counts(observation, spans["serviceName"], spans["startTime"].to_numpy() * 1000)

    return shared(observation, ("span counts", failed_only), count)


def span_latency(observation: Observation, *, quantile: float = 0.9) -> pd.DataFrame:
    """Quantile of span durations per step, in seconds; null where no span starts.

    Rows as in ``metrics``, one column per candidate service.
    """

    def latency() -> pd.DataFrame:
        spans = observation.traces
        rows = step_of(observation, spans["startTime"].to_numpy() * 1000)
        found = (spans["duration"] / 1e6).groupby([spans["serviceName"], rows]).quantile(quantile)
        steps = range(len(observation.metrics))
        columns = {
            name: found.get(name, pd.Series(dtype="float64")).reindex(steps)
            for name in observation.services
        }
        return pd.DataFrame(columns, index=steps, dtype="float64")

    return shared(observation, ("span latency", quantile), latency)


def failed_spans(spans: pd.DataFrame) -> pd.Series[bool]:
    """Which spans ended in an error: HTTP status 400 or more, or OTLP's status 2."""
    return (spans["statusCode"] >= 400) | (spans["statusCode"] == 2)


def split_table(observation: Observation, table: pd.DataFrame) -> Windows:
    """Cut any table whose rows are those of ``metrics`` at the inject time.

    The same is left out as in ``split_windows``; there may be no column left.

    Raises:
        MethodFailed: there is no inject time.
    """
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    cut = int(np.searchsorted(observation.metrics["time"].to_numpy(), observation.inject_time_ns))
    raw = table.to_numpy(dtype=np.float64)
    values = np.where(np.isinf(raw), np.nan, raw)
    null = np.isnan(values)
    empty = null[:cut].all(axis=0) | null[cut:].all(axis=0)
    constant = _carries_nothing(values, 0.0) & ~empty
    keep = ~(empty | constant)
    names = np.array([str(name) for name in table.columns], dtype=object)
    kept = values[:, keep]
    kept.setflags(write=False)
    both = pd.DataFrame(kept, columns=list(names[keep]), copy=False)
    return Windows(both.iloc[:cut], both.iloc[cut:], tuple(names[constant]), tuple(names[empty]))


def _split(observation: Observation) -> Windows:
    windows = split_table(observation, observation.metrics.iloc[:, 1:])
    if not windows.indicators:
        raise MethodFailed("no indicator varies and has values before and after the inject time")
    return windows


def _delayed(observation: Observation, tdelta: float) -> int | None:
    if observation.inject_time_ns is None:
        return None
    late = observation.inject_time_ns + round(tdelta * _SECOND)
    last = int(observation.metrics["time"].iloc[-1])
    if late > last:
        seconds = (last - observation.inject_time_ns) / _SECOND
        raise BenchError(
            f"a detection delay of {tdelta:g} s leaves no row after it: metrics end {seconds:g} s "
            "after the inject time"
        )
    return late


def _rows(times: NDArray[np.int64], inject_time_ns: int | None, length: int | None) -> slice:
    if inject_time_ns is None or length is None:
        return slice(0, times.size)
    cut = int(np.searchsorted(times, inject_time_ns))
    return slice(max(0, cut - length), cut + length)


def _fill_forwards(values: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    """A copy in which a gap takes the value at most ``limit`` rows before it."""
    if not limit or not np.isnan(values).any():
        return values.copy()
    return pd.DataFrame(values).ffill(limit=limit).to_numpy(copy=True)


def _carries_nothing(values: NDArray[np.float64], near_constant: float) -> NDArray[np.bool_]:
    """Columns without a value, and those where too few values differ from the most frequent."""
    present = ~np.isnan(values)
    highest = np.where(present, values, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(present, values, np.inf).min(axis=0, initial=np.inf)
    flat: NDArray[np.bool_] = highest <= lowest  # also where there is no value: -inf, inf
    for column in np.flatnonzero(~flat) if near_constant else ():
        known = values[present[:, column], column]
        most = np.unique(known, return_counts=True)[1].max()
        flat[column] = 1 - most / known.size <= near_constant
    return flat


def _between(table: pd.DataFrame, column: str, first: int, end: int) -> pd.DataFrame:
    inside = (table[column] >= first) & (table[column] < end)
    return table if inside.all() else table[inside].reset_index(drop=True)


def step_of(observation: Observation, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of ``metrics`` in whose step each instant lies; may lie outside of the table."""
    first = int(observation.metrics["time"].iloc[0])
    return (times_ns - first) // observation.step_ns


def _counts(
    observation: Observation, services: pd.Series[str], times_ns: NDArray[np.int64]
) -> pd.DataFrame:
    names = list(observation.services)
    codes = pd.Index(names).get_indexer(pd.Index(services))
    rows, steps = step_of(observation, times_ns), len(observation.metrics)
    inside = (codes >= 0) & (rows >= 0) & (rows < steps)
    cells = rows[inside] * len(names) + codes[inside]
    counts = np.bincount(cells, minlength=steps * len(names)).reshape(steps, len(names))
    return pd.DataFrame(counts, columns=names)
