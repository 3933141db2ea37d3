"""Spans as arrays: who called whom, how long each worked itself, what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.preprocess import failed_spans, shared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation


# Chains of spans that outlast their parents are followed up so many calls.
DEEPEST: Final = 100


@dataclass(frozen=True, eq=False)
class Spans:
    """The S spans of an observation, ordered by trace and span id, each once.

    Attributes:
        trace: code of the trace of each span, 0 to ``traces`` - 1.
        service: code of its service, into ``services``.
        operation: code of its operation, into ``operations``; an operation is of one service.
        parent: place of the calling span, -1 where there is none or it was not recorded.
        start_us: UTC epoch microseconds, of the service's clock.
        duration_us: whole duration.
        self_us: duration less the time in which some child was running. A child that lies outside
            of its parent, as clocks that differ make it appear, is moved to the nearest place
            inside. One that lasts longer than its parent was not waited for: it counts for the
            time that they share, and for that in which it and its grandparent do.
        outlasted: whether something that it called went on after it: it did not wait.
        failed: whether it ended in an error.
        late: whether it starts at or after the inject time; all False without one.
        services, operations: names by code, sorted; an operation is ``<service>_<operation>``.
        operation_service: code of the service of each operation.
        traces: number of traces.
    """

    trace: NDArray[np.int64]
    service: NDArray[np.int64]
    operation: NDArray[np.int64]
    parent: NDArray[np.int64]
    start_us: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    self_us: NDArray[np.int64]
    outlasted: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    late: NDArray[np.bool_]
    services: tuple[str, ...]
    operations: tuple[str, ...]
    operation_service: NDArray[np.int64]
    traces: int

    def __len__(self) -> int:
        return len(self.trace)

    @property
    def parent_service(self) -> NDArray[np.int64]:
        """Code of the calling span's service, -1 for a span without one."""
        return np.where(self.parent >= 0, self.service[self.parent], -1)

    @property
    def remote(self) -> NDArray[np.int64]:
        """Code of the service to which a span is a call, -1 for a service's own work.

        A call is a span that a service begins itself, below a span of its own, and whose child is
        in another service. The time that it does not share with that child is spent on the way:
        connecting, sending, waiting for a thread at the other end. Where several are called, the
        last one. A span whose own part made the call and did not wait for it is a call as well.
        """
        found = np.full(len(self), -1)
        away = (self.parent >= 0) & (self.parent_service != self.service)
        begun = (self.parent >= 0) & ~away
        calls = np.flatnonzero(away)[begun[self.parent[away]]]
        found[self.parent[calls]] = self.service[calls]
        handed_on = np.flatnonzero(begun & self.outlasted)
        for _ in range(DEEPEST):
            open_ends = handed_on[(found[handed_on] >= 0) & (found[self.parent[handed_on]] < 0)]
            if not open_ends.size:
                break
            found[self.parent[open_ends]] = found[open_ends]
        return found


def spans_of(observation: Observation) -> Spans:
    """The spans of an observation; none where it has no traces.

    Their order does not depend on that of the rows. A span id that occurs twice in a trace counts
    once, the span that starts first.
    """
    return shared(observation, "spans", lambda: _arrays(observation))


def _arrays(observation: Observation) -> Spans:
    table = observation.traces.sort_values(
        ["traceID", "spanID", "startTime", "duration"], ignore_index=True
    )
    table = table[~table.duplicated(["traceID", "spanID"])].reset_index(drop=True)
    trace, trace_ids = pd.factorize(table["traceID"], sort=True)
    service, services = pd.factorize(table["serviceName"], sort=True)
    operation, operations = pd.factorize(
        table["serviceName"] + "_" + table["operationName"], sort=True
    )
    of_service = np.zeros(len(operations), dtype=np.int64)
    of_service[operation] = service
    parent = _parents(table, trace)
    start, duration = table["startTime"].to_numpy(), table["duration"].to_numpy()
    extent = _extent(parent, start, duration)
    inject = observation.inject_time_ns
    return Spans(
        trace=trace.astype(np.int64),
        service=service.astype(np.int64),
        operation=operation.astype(np.int64),
        parent=parent,
        start_us=start,
        duration_us=duration,
        self_us=duration - _covered(parent, start, duration, extent),
        outlasted=extent > duration,
        failed=failed_spans(table).to_numpy(),
        late=np.zeros(len(table), dtype=bool) if inject is None else start * 1000 >= inject,
        services=tuple(map(str, services)),
        operations=tuple(map(str, operations)),
        operation_service=of_service,
        traces=len(trace_ids),
    )


def _parents(table: pd.DataFrame, trace: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each span's parent in the same trace; -1 where there is none, or it is itself."""
    known = pd.Index(table["spanID"])
    codes = known.factorize()[0]
    wanted = pd.Index(known.unique()).get_indexer(pd.Index(table["parentSpanID"]))
    count = max(len(table), 1)
    here = pd.Index(trace * count + codes)
    found = here.get_indexer(pd.Index(np.where(wanted >= 0, trace * count + wanted, -1)))
    return np.where(found == np.arange(len(table)), -1, found).astype(np.int64)


def _covered(
    parent: NDArray[np.int64],
    start: NDArray[np.int64],
    duration: NDArray[np.int64],
    extent: NDArray[np.int64],
) -> NDArray[np.int64]:
    """How long at least one child of each span was running, in the span's own duration."""
    covered = np.zeros(len(parent), dtype=np.int64)
    children = np.flatnonzero(parent >= 0)
    if not children.size:
        return covered
    of = parent[children]
    length = extent[children]
    latest = np.where(length <= duration[of], duration[of] - length, duration[of])
    begin = np.clip(start[children] - start[of], 0, latest)
    end = np.minimum(begin + length, duration[of])
    order = np.lexsort((begin, of))
    of, begin, end = of[order], begin[order], end[order]
    # Spans one after the other on one axis: then one running maximum serves all parents.
    offset = of * (int(duration.max()) + 1)
    reached = np.maximum.accumulate(end + offset)
    before = np.concatenate([[np.iinfo(np.int64).min], reached[:-1]])
    np.add.at(covered, of, np.maximum(end + offset - np.maximum(begin + offset, before), 0))
    return covered


def _extent(
    parent: NDArray[np.int64], start: NDArray[np.int64], duration: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How long each span and what it started went on: longer than the span if it did not wait."""
    children = np.flatnonzero(parent >= 0)
    of = parent[children]
    extent = duration.copy()
    begin = np.clip(start[children] - start[of], 0, duration[of])
    for _ in range(DEEPEST):
        outlasts = extent[children] > duration[of]
        longer = extent.copy()
        np.maximum.at(longer, of[outlasts], (begin + extent[children])[outlasts])
        if (longer == extent).all():
            break
        extent = longer
    return extent
