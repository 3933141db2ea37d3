"""Metrics from Prometheus.

Ranges are read with aiohttp, several at once, and parsed series by series (see ``matrix``); what
that gains is measured by ``benchmarks/export.py``. Everything else goes through
prometheus-api-client (see ``scraping``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Plan, Telemetry, Tick, Window
from rca_benchmark.export.matrix import MatrixReader, Series
from rca_benchmark.export.streaming import new_async_session, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp
    from numpy.typing import NDArray

    from rca_benchmark.export.endpoint import Endpoint
    from rca_benchmark.export.indicators import Query
    from rca_benchmark.export.placement import Placement

# Prometheus refuses a range query of more than 11,000 points per series.
POINTS_PER_QUERY: Final = 10_000
PARALLEL_QUERIES: Final = 3
RANGE_PATH: Final = "/api/v1/query_range"


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server and the queries to send to it.

    Attributes:
        endpoint: where it answers.
        queries: the catalogue.
        placement: every service and node, so that an absent series is known to be absent, and so
            that labels of pods and GPUs lead to services. Where it is empty, whatever services
            answer are taken.
    """

    endpoint: Endpoint
    queries: tuple[Query, ...]
    placement: Placement

    name = "prometheus"

    @property
    def steps(self) -> int:
        """One per query."""
        return len(self.queries)

    def plan(self, window: Window) -> Plan:
        """Every query, with the range it is asked over."""
        first, last = (_text(int(time)) for time in window.grid()[[0, -1]])
        step = window.step_ns // SECOND_NS
        return [
            (self.endpoint.url, f"{query.metric}: {query.query} [{first} .. {last}, {step} s]")
            for query in self.queries
        ]

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All queries over the window, several at once.

        Raises:
            ExportError: a query failed, or its series do not map onto columns one to one.
        """
        tables = asyncio.run(self._fetch(window, tick))
        _refuse_twice(tables)
        received = {name: count for table in tables for name, count in table.received.items()}
        columns = {name: values for table in tables for name, values in table.data.items()}
        metrics = pd.DataFrame(columns, index=pd.Index(window.grid(), name="time"), copy=False)
        others = sum(len(table.others) for table in tables)
        return Telemetry(
            metrics=metrics,
            received=received,
            counts={"prometheus_series_of_others": others},
        )

    async def _fetch(self, window: Window, tick: Tick) -> list[_Columns]:
        tables = [_Columns(self, query, window.grid()) for query in self.queries]
        limit = asyncio.Semaphore(PARALLEL_QUERIES)

        async def one(session: aiohttp.ClientSession, table: _Columns) -> None:
            async with limit:
                await self._query_range(session, table, window)
            tick(f"prometheus: {table.query.metric}")

        try:
            async with (
                new_async_session(self.endpoint, PARALLEL_QUERIES) as session,
                asyncio.TaskGroup() as group,
            ):
                for table in tables:
                    group.create_task(one(session, table))
        except* ExportError as errors:
            raise errors.exceptions[0] from None
        return tables

    async def _query_range(
        self, session: aiohttp.ClientSession, table: _Columns, window: Window
    ) -> None:
        """Ask in parts that the server accepts, one after the other."""
        grid = window.grid()
        for chunk in np.array_split(grid, -(-grid.size // POINTS_PER_QUERY)):
            form = {
                "query": table.query.query,
                "start": _text(int(chunk[0])),
                "end": _text(int(chunk[-1])),
                "step": str(window.step_ns // SECOND_NS),
            }
            part = _Part(table, chunk, window.step_ns)
            await stream(
                session,
                self.endpoint,
                RANGE_PATH,
                form,
                part.begin,
                part.finish,
                asked=table.query.query,
            )
            table.add(part)


class _Columns:
    """The columns of one query on the whole grid, filled part by part."""

    def __init__(self, server: Prometheus, query: Query, grid: NDArray[np.int64]) -> None:
        self.server = server
        self.query = query
        self.grid = grid
        names = server.placement.names(query.kind)
        self.fixed = bool(names)
        empty = np.full(grid.size, np.nan)
        self.data = dict.fromkeys(query.columns(names), empty)
        self.received = dict.fromkeys(self.data, 0)
        self.others: set[str] = set()  # label values that lead to no service of the placement

    def add(self, part: _Part) -> None:
        """Put the samples of one part in place."""
        first, last = np.searchsorted(self.grid, part.times[[0, -1]])
        rows = slice(first, last + 1)
        for column, found in part.found.items():
            if column not in self.data or not self.received[column]:
                self.data[column] = np.full(self.grid.size, np.nan)
            self.data[column][rows] = _combine(self.query, found)
            count = sum(size for _, size in found) // len(found)
            self.received[column] = self.received.get(column, 0) + count

    def column(self, labels: Mapping[str, str]) -> str | None:
        """The column that a series belongs to; None where it is not one of the stack's.

        Raises:
            ExportError: the label is missing or names no service.
        """
        value = labels.get(self.query.label, "")
        owner = self.server.placement.owner(self.query.look_up, value)
        if owner is None:
            self.others.add(value)
            return None
        if not owner or "_" in owner:
            raise self.server_error(
                f"the label {self.query.label} of {dict(labels)} is empty or holds an underscore; "
                "correct the scrape labels or the query"
            )
        column = f"{owner}_{self.query.metric}"
        known = column in self.data if self.fixed else self.query.columns([owner])
        if not known:
            self.others.add(value)
            return None
        return column

    def server_error(self, text: str) -> ExportError:
        """An error that names server and query."""
        url, query = self.server.endpoint.url, self.query.query
        return ExportError(f"prometheus at {url}: query {query!r}: {text}")


class _Part:
    """The answer to one request: the samples of a stretch of the grid."""

    def __init__(self, table: _Columns, times: NDArray[np.int64], step_ns: int) -> None:
        self.table = table
        self.times = times
        self.step_ns = step_ns

    def begin(self) -> Callable[[bytes], None]:
        """Forget what an earlier attempt brought; gives what takes the bytes."""
        self.found: dict[str, list[tuple[NDArray[np.float64], int]]] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.reader = MatrixReader(self.take, self.step_ns)
        return self.reader.feed

    def finish(self) -> None:
        """Check that the answer was whole."""
        self.reader.finish()

    def take(self, series: Series) -> None:
        """Keep one series.

        Raises:
            ExportError: it lies beside the grid, or its column is already taken.
        """
        table = self.table
        column = table.column(series.labels)
        if column is None:
            return
        if column in self.found and not table.query.combine:
            raise table.server_error(
                f"{self.labels[column]} and {series.labels} both map to {column}; aggregate by "
                f"{table.query.label} in the query"
            )
        values = self.on_grid(series)
        if values is None:
            raise table.server_error(f"a sample of {series.labels} lies beside the time grid")
        self.labels[column] = series.labels
        self.found.setdefault(column, []).append((values, series.samples.size))

    def on_grid(self, series: Series) -> NDArray[np.float64] | None:
        """The samples of a series on this stretch of the grid; None where they do not fit."""
        if np.array_equal(series.times_ns, self.times):
            return series.samples
        rows = np.searchsorted(self.times, series.times_ns)
        if (rows >= self.times.size).any() or (self.times[rows] != series.times_ns).any():
            return None
        values = np.full(self.times.size, np.nan)
        values[rows] = series.samples
        return values


def _refuse_twice(tables: list[_Columns]) -> None:
    first: dict[str, _Columns] = {}
    for table in tables:
        for column in table.data:
            if column in first:
                raise table.server_error(
                    f"yields {column}, and so does {first[column].query.query!r}"
                )
            first[column] = table


def _combine(query: Query, found: list[tuple[NDArray[np.float64], int]]) -> NDArray[np.float64]:
    """Several series of one service as one; null where one of them is."""
    if len(found) == 1:
        return found[0][0]
    stacked = np.stack([values for values, _ in found])
    combined: NDArray[np.float64] = stacked.sum(axis=0)
    return combined / len(found) if query.combine == "mean" else combined


def _text(time_ns: int) -> str:
    return str(time_ns // SECOND_NS)
