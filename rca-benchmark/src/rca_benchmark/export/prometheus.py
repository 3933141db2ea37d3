"""Metrics from Prometheus, through prometheus-api-client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Samples, Telemetry, Tick, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rca_benchmark.export.indicators import Query

# Prometheus refuses a range query of more than 11,000 points per series.
POINTS_PER_QUERY = 10_000
PARALLEL_QUERIES = 4
RETRIES = 3
_RETRY_STATUS = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server and the queries to send to it.

    Attributes:
        url: address of the server.
        queries: the catalogue.
        services: every service, so that an absent series is known to be absent.
        nodes: every node, likewise.
        timeout_s: limit of one attempt of one request.
        backoff_s: pause before the second retry; doubles with each further one.
    """

    url: str
    queries: tuple[Query, ...]
    services: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    timeout_s: float = 20
    backoff_s: float = 0.5

    name = "prometheus"

    @property
    def steps(self) -> int:
        """One per query."""
        return len(self.queries)

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All queries over the window, several at once.

        Raises:
            ExportError: a query failed, or its series do not map onto columns one to one.
        """
        tables: dict[str, tuple[pd.DataFrame, int]] = {}
        with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
            jobs = {pool.submit(self._columns, query, window): query for query in self.queries}
            try:
                for job in as_completed(jobs):
                    tables[jobs[job].metric] = job.result()
                    tick(f"prometheus: {jobs[job].metric}")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        ordered = [tables[query.metric] for query in self.queries]
        index = pd.Index(window.grid(), name="time")
        metrics = pd.concat([pd.DataFrame(index=index), *(table for table, _ in ordered)], axis=1)
        received = sum(count for _, count in ordered)
        return Telemetry(metrics=metrics, samples=Samples(metrics.size, received))

    def scrape_health(self, start_ns: int, end_ns: int, step_ns: int) -> dict[str, float]:
        """Share of scrapes that succeeded between two instants, by ``job/service``.

        Scrapes are counted, so one that never took place lowers the share as well. The scrape
        interval must equal the step.

        Raises:
            ExportError: the query failed.
        """
        seconds = max(1, (end_ns - start_ns) // SECOND_NS)
        query = f"sum_over_time(up[{seconds}s])"
        result = self._ask(
            query, lambda server: server.custom_query(query, {"time": end_ns // SECOND_NS})
        )
        expected = seconds * SECOND_NS / step_ns
        try:
            return {
                _target(series["metric"]): min(1.0, float(series["value"][1]) / expected)
                for series in result
            }
        except (LookupError, TypeError, ValueError) as error:
            raise self._unusable(query, error) from error

    def _columns(self, query: Query, window: Window) -> tuple[pd.DataFrame, int]:
        """The columns of one query on the grid, and how many samples were received."""
        grid = window.grid()
        values: dict[str, NDArray[np.float64]] = {}
        received = 0
        for chunk in np.array_split(grid, -(-grid.size // POINTS_PER_QUERY)):
            received += self._add_chunk(query, chunk, window, values)
        names = self.services if query.kind == "service" else self.nodes
        expected = query.columns(names)
        columns = [*expected, *sorted(set(values) - set(expected))]
        empty = np.full(grid.size, np.nan)
        table = pd.DataFrame({name: values.get(name, empty) for name in columns}, index=grid)
        return table, received

    def _add_chunk(
        self,
        query: Query,
        chunk: NDArray[np.int64],
        window: Window,
        values: dict[str, NDArray[np.float64]],
    ) -> int:
        """Ask for one chunk of the grid and put its samples in place; returns how many."""
        grid = window.grid()
        answered: dict[str, dict[str, str]] = {}
        received = 0
        for series in self._query_range(query, chunk, window.step_ns):
            labels, times, samples = self._parse(query, series)
            column = self._column(query, labels, answered)
            if not np.isin(times, chunk).all():
                raise ExportError(
                    f"prometheus at {self.url}: query {query.query!r}: a sample of {labels} "
                    "lies beside the time grid"
                )
            row = values.setdefault(column, np.full(grid.size, np.nan))
            row[np.searchsorted(grid, times)] = samples
            received += times.size
        return received

    def _query_range(
        self, query: Query, times: NDArray[np.int64], step_ns: int
    ) -> list[dict[str, Any]]:
        start, end = (
            datetime.fromtimestamp(int(time) // SECOND_NS, UTC) for time in (times[0], times[-1])
        )
        step = str(step_ns // SECOND_NS)
        return self._ask(
            query.query, lambda server: server.custom_query_range(query.query, start, end, step)
        )

    def _ask(self, query: str, request: Callable[[Any], Any]) -> list[dict[str, Any]]:
        """One request, retried within bounds; every way to fail becomes one clear error."""
        retry = Retry(
            total=RETRIES,
            backoff_factor=self.backoff_s,
            status_forcelist=_RETRY_STATUS,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        try:
            # A connection of its own per query: a requests session is not safe across threads.
            with PrometheusConnect(self.url, retry=retry, timeout=self.timeout_s) as server:
                result = request(server)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise ExportError(
                f"prometheus at {self.url}: no answer to query {query!r} after {RETRIES} retries: "
                f"{_brief(error)}; is it running?"
            ) from error
        except (PrometheusApiClientException, requests.RequestException) as error:
            raise ExportError(
                f"prometheus at {self.url}: query {query!r} was answered by {_brief(error)}"
            ) from error
        except (KeyError, TypeError) as error:
            raise ExportError(
                f"prometheus at {self.url}: query {query!r} was answered by JSON without a result"
            ) from error
        if not isinstance(result, list):
            raise ExportError(
                f"prometheus at {self.url}: query {query!r} gives no series but {result!r}"
            )
        return result

    def _parse(
        self, query: Query, series: dict[str, Any]
    ) -> tuple[dict[str, str], NDArray[np.int64], NDArray[np.float64]]:
        """Labels, times (epoch ns) and values of one series of a range query."""
        try:
            pairs = series["values"]
            # Prometheus has milliseconds; a float of epoch seconds is exact to less than those.
            times = [round(float(time) * 1000) * 1_000_000 for time, _ in pairs]
            values = [float(value) for _, value in pairs]
            return dict(series["metric"]), np.array(times, np.int64), np.array(values, np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise self._unusable(query.query, error) from error

    def _unusable(self, query: str, error: Exception) -> ExportError:
        return ExportError(
            f"prometheus at {self.url}: query {query!r} was answered by a series that cannot be "
            f"used: {error!r}"
        )

    def _column(
        self, query: Query, labels: dict[str, str], answered: dict[str, dict[str, str]]
    ) -> str:
        service = labels.get("service", "")
        if not service or "_" in service:
            raise ExportError(
                f"prometheus at {self.url}: query {query.query!r}: the label service of {labels} "
                "is empty or holds an underscore; correct the scrape labels or the query"
            )
        column = f"{service}_{query.metric}"
        if column in answered:
            raise ExportError(
                f"prometheus at {self.url}: query {query.query!r}: {answered[column]} and {labels} "
                f"both map to {column}; aggregate by service in the query"
            )
        answered[column] = labels
        return column


def _target(labels: dict[str, str]) -> str:
    return f"{labels.get('job', '')}/{labels.get('service') or labels.get('instance', '')}"


def _brief(error: Exception) -> str:
    """The error on one line, short enough to read."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."
