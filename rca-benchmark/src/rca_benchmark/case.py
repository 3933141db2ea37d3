"""What a case is: an observation that methods may see, and the ground truth that they may not.

Nothing here reads or writes files. The schemas of all telemetry tables are defined here, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOG_COLUMNS: Final = {
    "time": "int64",  # UTC epoch nanoseconds
    "service": "str",
    "level": "str",
    "message": "str",
    "source": "str",
}
TRACE_COLUMNS: Final = {
    "traceID": "str",
    "spanID": "str",
    "parentSpanID": "str",  # empty for a root span
    "serviceName": "str",
    "methodName": "str",
    "operationName": "str",
    "startTime": "int64",  # UTC epoch microseconds
    "duration": "int64",  # microseconds
    "statusCode": "int64",
}
EDGE_COLUMNS: Final = {"source": "str", "target": "str", "kind": "str"}
EDGE_KINDS: Final = ("call", "host")


@dataclass(frozen=True, eq=False)
class Observation:
    """All that a method may see of a case. Holds neither a name nor a path of the case.

    Attributes:
        metrics: one row per step: ``time`` (int64, UTC epoch ns, strictly increasing by
            ``step_ns``), then one float64 column per indicator, ``<service>_<metric>``.
            A sample that is missing is null.
        logs: columns of ``LOG_COLUMNS``, sorted by time.
        traces: one row per span, columns of ``TRACE_COLUMNS``.
        topology: columns of ``EDGE_COLUMNS``; ``call`` edges run from caller to callee, ``host``
            edges from a service to the node that carries it.
        inject_time_ns: when the fault was confirmed active; None in a recording without a fault.
        sli: the indicator on which a user would notice trouble; None where the data set has none.
        services: the candidates, that is, every service that could be the root cause.
        step_ns: distance of two rows of ``metrics``.

    Raises:
        CaseError: a table breaks its schema.
    """

    metrics: pd.DataFrame
    logs: pd.DataFrame
    traces: pd.DataFrame
    topology: pd.DataFrame
    inject_time_ns: int | None
    sli: str | None
    services: tuple[str, ...]
    step_ns: int

    def __post_init__(self) -> None:
        _check_services(self.services)
        _check_metrics(self.metrics, self.step_ns)
        for table in (self.metrics, self.logs, self.traces, self.topology):
            if table.attrs:  # could carry more than the schema says, the truth included
                raise CaseError(f"a table holds attrs: {', '.join(map(str, table.attrs))}")
        _check_columns("logs", self.logs, LOG_COLUMNS)
        _check_columns("traces", self.traces, TRACE_COLUMNS)
        _check_columns("topology", self.topology, EDGE_COLUMNS)
        if unknown := set(self.topology["kind"]) - set(EDGE_KINDS):
            raise CaseError(f"topology: unknown kind {sorted(unknown)}; known are {EDGE_KINDS}")
        if self.sli is not None and self.sli not in self.metrics.columns:
            raise CaseError(f"sli: {self.sli} is not a column of metrics")
        _check_inject_time(self.inject_time_ns, self.metrics["time"])

    @property
    def indicators(self) -> list[str]:
        """Names of the metric columns, without ``time``."""
        names: list[str] = self.metrics.columns.tolist()
        return names[1:]


@dataclass(frozen=True)
class Injection:
    """One fault in one run. All times are UTC epoch nanoseconds; None where not recorded.

    Attributes:
        requested_ns: when the fault was asked for.
        active_ns: when it was confirmed active; this is the inject time.
        removed_ns: when its removal was asked for.
        recovered_ns: when the removal was confirmed.
        parameters: the fault's strength, as given.
        evidence: what confirmed that the fault was active and that it was gone.
    """

    active_ns: int
    requested_ns: int | None = None
    removed_ns: int | None = None
    recovered_ns: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        times = [self.requested_ns, self.active_ns, self.removed_ns, self.recovered_ns]
        known = [time for time in times if time is not None]
        if known != sorted(known):
            raise CaseError(
                f"injection: requested, active, removed, recovered are out of order: {times}"
            )


@dataclass(frozen=True)
class GroundTruth:
    """What was broken. Only scoring reads it."""

    service: str
    fault: str
    injection: Injection
    indicator: str | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """The telemetry window of one iteration with its ground truth.

    Attributes:
        dataset: name of the data set.
        name: name of the case, unique in its data set.
        digest: hex SHA-256 of the content, independent of names and places.
        observation: what methods see.
        truth: what they are scored against.
        notes: what reading changed or left out, such as rows moved to the step; one line each.

    Raises:
        CaseError: the target is not one of the candidates.
    """

    dataset: str
    name: str
    digest: str
    observation: Observation
    truth: GroundTruth
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.truth.service not in self.observation.services:
            raise CaseError(
                f"injection: target {self.truth.service} is not among the services "
                f"{', '.join(self.observation.services)}"
            )


def service_of(indicator: str) -> str:
    """The service of an indicator: all before the first underscore."""
    return indicator.partition("_")[0]


def typed_table(rows: pd.DataFrame | Iterable[Any], columns: Mapping[str, str]) -> pd.DataFrame:
    """The rows as a table with exactly these columns and dtypes, in this order.

    Raises:
        CaseError: a column is missing, or a value does not fit its dtype.
    """
    names = list(columns)
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=names)
    if missing := [name for name in names if name not in table.columns]:
        raise CaseError(f"columns missing: {', '.join(missing)}")
    try:
        return table[names].astype(dict(columns)).reset_index(drop=True)
    except (ValueError, TypeError) as error:
        raise CaseError(f"a value does not fit its column: {error}") from error


def _check_services(services: tuple[str, ...]) -> None:
    if not services:
        raise CaseError("services: no candidate service")
    if len(set(services)) != len(services):
        raise CaseError(f"services: a name occurs twice in {services}")
    if bad := [name for name in services if not name or "_" in name]:
        raise CaseError(f"services: {bad[0]!r} is empty or holds an underscore")


def _check_columns(name: str, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    if list(table.columns) != list(columns):
        raise CaseError(f"{name}: columns are {list(table.columns)}, expected {list(columns)}")
    for column, dtype in columns.items():
        if str(table[column].dtype) != dtype:
            raise CaseError(f"{name}: column {column} is {table[column].dtype}, expected {dtype}")


def _check_metrics(metrics: pd.DataFrame, step_ns: int) -> None:
    names = list(metrics.columns)
    if not names or names[0] != "time" or metrics["time"].dtype != np.dtype("int64"):
        raise CaseError("metrics: the first column must be time, int64 epoch nanoseconds")
    if metrics.empty:
        raise CaseError("metrics: no row")
    if len(set(names)) != len(names):
        raise CaseError("metrics: a column occurs twice")
    for name, dtype in zip(names[1:], metrics.dtypes.iloc[1:], strict=True):
        service, underscore, metric = str(name).partition("_")
        if not (service and underscore and metric):
            raise CaseError(f"metrics: column {name!r} is not named <service>_<metric>")
        if dtype != np.dtype("float64"):
            raise CaseError(f"metrics: column {name} is {dtype}, expected float64")
    if step_ns <= 0:
        raise CaseError(f"metrics: step is {step_ns} ns, expected more than 0")
    wrong = np.flatnonzero(np.diff(metrics["time"].to_numpy()) != step_ns)
    if wrong.size:
        raise CaseError(f"metrics: row {wrong[0] + 1} is not {step_ns} ns after the row before it")


def _check_inject_time(inject_time_ns: int | None, times: pd.Series[int]) -> None:
    if inject_time_ns is None:
        return
    first, last = int(times.iloc[0]), int(times.iloc[-1])
    if not first < inject_time_ns <= last:
        raise CaseError(
            f"inject time {inject_time_ns} leaves no row before or none after it: "
            f"metrics run from {first} to {last}"
        )
