"""Traces from DeepFlow: requests of ``l7_flow_log`` over the querier's SQL API.

Sources: deepflow.io/docs, "SQL API"; table and columns:
server/querier/db_descriptions/clickhouse/tag/flow_log/l7_flow_log in the repository
deepflowio/deepflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Plan, Telemetry, Tick, Window
from rca_benchmark.export.requesting import new_session, request_json, shorten
from rca_benchmark.export.rows import Rows, in_order, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from numpy.typing import NDArray

    from rca_benchmark.export.endpoint import Endpoint
    from rca_benchmark.export.placement import Placement

QUERY_PATH: Final = "/v1/query"
COMPLETION_PATH: Final = "/v1/stats/querier/tracing-completion-by-external-app-spans"
PAGE: Final = 10_000
_TYPES: Final = {"str": str, "int64": int}
# The server files a request under the second in which it ended, so one that began inside the window
# is looked for this long after its end.
LONGEST_REQUEST_S: Final = 600
REQUEST_COLUMNS: Final = {
    "id": "str",
    "response_duration": "int64",  # µs
    "auto_instance_0": "str",
    "auto_instance_1": "str",
    "ip_0": "str",
    "ip_1": "str",
    "start_us": "int64",  # UTC epoch µs
    "end_us": "int64",
    "capture_nic_type": "str",
    "l7_protocol": "str",
    "request_type": "str",
    "request_domain": "str",
    "request_resource": "str",
    "response_status": "str",
    "response_code": "int64",  # 0 where there is none
    "response_exception": "str",
    "x_request_id_0": "str",
    "x_request_id_1": "str",
    "trace_id": "str",
    "span_id": "str",
    "parent_span_id": "str",
    "server_port": "int64",
    "endpoint": "str",
}
_SPAN_COLUMNS: Final = (
    *("id", "response_duration", "ip_1", "start_us", "request_type", "request_resource"),
    *("response_code", "trace_id", "span_id", "parent_span_id", "endpoint"),
)
_EXPRESSIONS: Final = {
    "id": "toString(_id) AS id",
    "start_us": "toUnixTimestamp64Micro(start_time) AS start_us",
    "end_us": "toUnixTimestamp64Micro(end_time) AS end_us",
    "capture_nic_type": "Enum(capture_nic_type) AS capture_nic_type",
    "l7_protocol": "Enum(l7_protocol) AS l7_protocol",
    "response_status": "Enum(response_status) AS response_status",
}


@dataclass(frozen=True)
class DeepFlow:
    """A DeepFlow querier.

    Attributes:
        endpoint: where it answers.
        placement: leads from addresses to services.
        namespace: requests from or to pods of this Kubernetes namespace are read.
        completion: where DeepFlow's app answers; None leaves traces as they are.
        captures: whether the requests are wanted as they were captured, with all their columns.
        page: requests per answer.
    """

    endpoint: Endpoint
    placement: Placement
    namespace: str
    completion: Endpoint | None = None
    captures: bool = False
    page: int = PAGE

    name = "deepflow"

    @property
    def steps(self) -> int:
        """One, and one more where traces are completed."""
        return 1 + (self.completion is not None)

    @property
    def _columns(self) -> dict[str, str]:
        names = REQUEST_COLUMNS if self.captures or self.completion else _SPAN_COLUMNS
        return {name: REQUEST_COLUMNS[name] for name in names}

    def plan(self, window: Window) -> Plan:
        """The query of the first page, and the completion of traces."""
        plan = [(self.endpoint.url, self._sql(window, ""))]
        if self.completion is not None:
            plan.append((self.completion.url, f"POST {COMPLETION_PATH}, once per trace"))
        return plan

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All requests that began inside the window, as spans of the service that answered.

        A request without a trace or to an address of no service is left out of the spans and
        counted. One that was captured at several places is one span: the shortest, as it was
        taken nearest to the server. Where asked for, ``extras`` holds every request as it was
        captured, and the completed traces.

        Raises:
            ExportError: a page failed.
        """
        with new_session(self.endpoint) as session:
            requests_ = self._requests(session, window)
        tick(f"deepflow: {len(requests_)} requests")
        traces, counts = self._spans(requests_)
        extras: dict[str, Any] = {"deepflow_requests": requests_} if self.captures else {}
        if self.completion is not None:
            extras["deepflow_traces"] = complete_traces(self.completion, requests_)
            tick(f"deepflow: {len(extras['deepflow_traces'])} traces completed")
        return Telemetry(traces=traces, counts=counts, extras=extras)

    def _requests(self, session: requests.Session, window: Window) -> pd.DataFrame:
        parts = []
        for page in self._pages(session, window):
            start_ns = page["start_us"] * 1000
            inside = (start_ns >= window.start_ns) & (start_ns <= window.end_ns)
            parts.append(page[inside])
        return in_order(stack(parts, self._columns).reset_index(drop=True), "start_us")

    def _pages(self, session: requests.Session, window: Window) -> Iterator[pd.DataFrame]:
        """Pages by the unique key ``_id``: each begins behind the last key of the page before."""
        last = ""
        while True:
            sql = self._sql(window, last)
            page = self._page(session, sql)
            if page.empty:
                return
            keys = [int(last or -1), *(int(key) for key in page["id"])]
            if any(later <= earlier for earlier, later in pairwise(keys)):
                raise self._unusable(sql, "its keys do not rise")
            yield page
            if len(page) < self.page:
                return
            last = page["id"].iloc[-1]

    def _sql(self, window: Window, after: str) -> str:
        names = ", ".join(_EXPRESSIONS.get(name, name) for name in self._columns)
        first = window.start_ns // SECOND_NS
        last = -(-window.end_ns // SECOND_NS) + LONGEST_REQUEST_S
        conditions = [
            f"time >= {first}",
            f"time <= {last}",
            f"(pod_ns_0 = '{self.namespace}' OR pod_ns_1 = '{self.namespace}')",
        ]
        if after:
            conditions.append(f"_id > {after}")
        where = " AND ".join(conditions)
        # The one text in it that is given, the namespace, was checked to be a name.
        return (
            f"SELECT {names} FROM l7_flow_log WHERE {where} "  # noqa: S608
            f"ORDER BY _id ASC LIMIT {self.page}"
        )

    def _page(self, session: requests.Session, sql: str) -> pd.DataFrame:
        form = {"db": "flow_log", "sql": sql}
        answer = request_json(session, self.endpoint, "POST", QUERY_PATH, asked=sql, data=form)
        try:
            if answer["OPT_STATUS"] != "SUCCESS":
                raise ValueError(answer.get("DESCRIPTION") or answer["OPT_STATUS"])
            result = answer["result"] or {"columns": list(self._columns), "values": []}
            places = [result["columns"].index(name) for name in self._columns]
            rows = Rows(self._columns)
            types = [_TYPES[dtype] for dtype in self._columns.values()]
            rows.extend(_clean(row, places, types) for row in result["values"] or ())
            return rows.table()
        except (LookupError, TypeError, ValueError) as error:
            raise self._unusable(sql, f"{error!r}: {shorten(repr(answer))}") from error

    def _unusable(self, sql: str, text: str) -> ExportError:
        return ExportError(
            f"deepflow at {self.endpoint.url}: query {sql!r} was answered by what cannot be used: "
            f"{text}"
        )

    def _spans(self, captured: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
        owners = {
            address: self.placement.owner("address", address)
            for address in captured["ip_1"].unique()
        }
        services = captured["ip_1"].map(owners)
        usable = np.flatnonzero((captured["trace_id"] != "") & services.notna())
        rows = usable[_shortest(captured.iloc[usable])]
        kept = captured.iloc[rows]
        name = (kept["request_type"] + " " + kept["request_resource"]).str.strip()
        spans = pd.DataFrame(
            {
                "traceID": kept["trace_id"],
                "spanID": _span_identity(kept),
                "parentSpanID": kept["parent_span_id"],
                "serviceName": services.iloc[rows].astype("str"),
                "methodName": kept["endpoint"].where(kept["endpoint"] != "", name),
                "operationName": kept["request_resource"],
                "startTime": kept["start_us"],
                "duration": kept["response_duration"],
                "statusCode": kept["response_code"],
            }
        )
        counts = {
            "deepflow_requests": len(captured),
            "deepflow_requests_without_trace_or_service": len(captured) - usable.size,
            "deepflow_requests_captured_again": usable.size - rows.size,
        }
        return typed_table(spans, TRACE_COLUMNS), counts


def _span_identity(captured: pd.DataFrame) -> pd.Series[str]:
    """A request without a span of its own cannot be the same as another one."""
    return captured["span_id"].where(captured["span_id"] != "", captured["id"])


def _shortest(captured: pd.DataFrame) -> NDArray[np.int64]:
    """Places of the shortest capture of each request, rising."""
    parts = (captured["trace_id"], _span_identity(captured), captured["ip_1"],
             captured["request_resource"])  # fmt: skip
    codes = pd.DataFrame({place: pd.factorize(part)[0] for place, part in enumerate(parts)})
    order = np.argsort(captured["response_duration"].to_numpy(), kind="stable")
    again = codes.iloc[order].duplicated().to_numpy()
    places: NDArray[np.int64] = np.sort(order[~again])
    return places


def complete_traces(endpoint: Endpoint, captured: pd.DataFrame) -> list[dict[str, Any]]:
    """Every trace with all its spans, slowest request first, as DeepFlow's app completes it.

    Args:
        endpoint: of DeepFlow's app.
        captured: columns of ``REQUEST_COLUMNS``.

    Returns:
        One object per trace: ``trace_id``, ``x_request_id`` (empty where there is none) and
        ``tracing``, the spans as the app gives them.

    Raises:
        ExportError: a trace could not be completed.
    """
    spans = captured[(captured["trace_id"] != "") & (captured["span_id"] != "")]
    spans = spans.sort_values("response_duration", ascending=False, kind="stable")
    requests_by_trace = captured.groupby("trace_id")[["x_request_id_0", "x_request_id_1"]].max()
    completed = []
    with new_session(endpoint) as session:
        for span in spans.drop_duplicates("trace_id").to_dict("records"):
            answer = request_json(
                session,
                endpoint,
                "POST",
                COMPLETION_PATH,
                asked=f"trace {span['trace_id']}",
                json={
                    "max_iteration": 30,
                    "network_delay_us": 3_000_000,
                    "app_spans": [
                        {
                            "trace_id": span["trace_id"],
                            "span_id": span["span_id"],
                            "parent_span_id": span["parent_span_id"],
                            "span_kind": 0,
                            "start_time_us": int(span["start_us"]),
                            "end_time_us": int(span["end_us"]),
                        }
                    ],
                },
            )
            if not isinstance(answer, dict) or not isinstance(answer.get("DATA"), dict):
                raise ExportError(
                    f"deepflow-app at {endpoint.url}: trace {span['trace_id']} was answered by "
                    f"{shorten(repr(answer))}"
                )
            request_id = max(requests_by_trace.loc[span["trace_id"]])
            tracing = answer["DATA"].get("tracing") or []
            completed.append(
                {"trace_id": span["trace_id"], "x_request_id": request_id, "tracing": tracing}
            )
    return completed


def _clean(row: list[Any], places: list[int], types: list[type]) -> tuple[Any, ...]:
    """The values of a row in the order of the columns; null becomes empty or 0."""
    return tuple(
        kind() if row[place] is None else kind(row[place])
        for place, kind in zip(places, types, strict=True)
    )
