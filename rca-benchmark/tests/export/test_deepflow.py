import json
import re
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Window
from rca_benchmark.export.deepflow import COMPLETION_PATH, REQUEST_COLUMNS, DeepFlow
from rca_benchmark.export.endpoint import Endpoint
from rca_benchmark.export.placement import Placement

BASE = 1_795_417_200
WINDOW = Window(BASE * SECOND_NS, (BASE + 60) * SECOND_NS)
PLACEMENT = Placement(
    {name: {"node": "n", "address": f"10.0.0.{n}"} for n, name in enumerate(("proxy", "ray-head"))}
)
_FUNCTIONS = {
    "toString(_id)": lambda row: str(row["_id"]),
    "toUnixTimestamp64Micro(start_time)": lambda row: row["start_us"],
    "toUnixTimestamp64Micro(end_time)": lambda row: row["end_us"],
}


class Store:
    """What DeepFlow's querier does with the one form of SQL that is sent to it.

    A request is filed under ``time``, the second in which it ended.
    """

    def __init__(self, rows, *, failures=(), traces=None):
        self.rows = sorted(rows, key=lambda row: row["_id"])
        self.failures = dict(failures)
        self.traces = traces or {}
        self.asked = []

    def __call__(self, path):
        address, _, form = path.partition("?")
        self.asked.append(unquote_plus(form))
        if failure := self.failures.pop(len(self.asked), None):
            return failure
        if address == COMPLETION_PATH:
            [span] = json.loads(form)["app_spans"]
            return 200, {
                "OPT_STATUS": "SUCCESS",
                "DATA": {"tracing": self.traces[span["trace_id"]]},
            }
        assert address == "/v1/query"
        fields = parse_qs(urlsplit(path).query)
        assert fields["db"] == ["flow_log"]
        return 200, self.select(fields["sql"][0])

    def select(self, sql):
        match = re.fullmatch(
            r"SELECT (?P<items>.+) FROM l7_flow_log "
            r"WHERE time >= (?P<first>\d+) AND time <= (?P<last>\d+) "
            r"AND \(pod_ns_0 = '(?P<ns>[a-z-]+)' OR pod_ns_1 = '(?P=ns)'\)"
            r"( AND _id > (?P<after>\d+))? "
            r"ORDER BY _id ASC LIMIT (?P<limit>\d+)",
            sql,
        )
        if match is None:
            return {"OPT_STATUS": "FAILED", "DESCRIPTION": "syntax error", "result": None}
        items = [item.split(" AS ") for item in match["items"].split(", ")]
        kept = [
            row
            for row in self.rows
            if int(match["first"]) <= row["end_us"] // 1_000_000 <= int(match["last"])
            and match["ns"] == row["pod_ns_1"]
            and row["_id"] > int(match["after"] or 0)
        ][: int(match["limit"])]
        values = [[self.value(row, item[0]) for item in items] for row in kept]
        columns = [item[-1] for item in items]
        return {"OPT_STATUS": "SUCCESS", "result": {"columns": columns, "values": values}}

    @staticmethod
    def value(row, expression):
        if expression in _FUNCTIONS:
            return _FUNCTIONS[expression](row)
        return row[re.sub(r"Enum\((\w+)\)", r"\1", expression)]


def request(number, start_s=1.0, duration=1500, **changes):
    start = int((BASE + start_s) * 1_000_000)
    row = {name: 0 if dtype == "int64" else "" for name, dtype in REQUEST_COLUMNS.items()}
    return (
        row
        | {
            "_id": number,
            "pod_ns_0": "",
            "pod_ns_1": "ray",
            "start_us": start,
            "end_us": start + duration,
            "response_duration": duration,
            "ip_1": "10.0.0.1",
            "trace_id": f"t{number}",
            "span_id": f"s{number}",
            "request_type": "POST",
            "request_resource": "/v1",
            "response_code": 200,
        }
        | changes
    )


@pytest.fixture
def server(serve):
    return serve(lambda _path: (500, b""))


def fetch(server, store, *, page=3, complete=False):
    server.answer = store
    endpoint = Endpoint("deepflow", server.url, backoff_s=0.01, attempts=3)
    completion = endpoint if complete else None
    back_end = DeepFlow(endpoint, PLACEMENT, "ray", completion, captures=True, page=page)
    ticks = []
    telemetry = back_end.fetch(WINDOW, ticks.append)
    assert len(ticks) == back_end.steps
    return telemetry


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2**64 - 1), st.integers(-3, 63), st.integers(0, 9)),
             max_size=25, unique_by=lambda row: row[0]),
    st.integers(1, 6),
)  # fmt: skip
def test_nothing_is_lost_and_nothing_comes_twice(server, rows, page):
    told = [request(key, start, duration * 10**6) for key, start, duration in rows]
    captured = fetch(server, Store(told), page=page).extras["deepflow_requests"]
    expected = sorted(str(key) for key, start, _ in rows if 0 <= start <= 60)
    assert sorted(captured["id"]) == expected
    assert captured["start_us"].is_monotonic_increasing


def test_a_page_that_is_exactly_full_is_followed_by_another_look(server):
    store = Store([request(number) for number in range(1, 7)])
    assert len(fetch(server, store).traces) == 6
    assert ["_id >" in sql for sql in store.asked] == [False, True, True]


def test_a_request_that_ends_after_the_window_is_found(server):
    store = Store([request(1, 59, 300 * 10**6)])
    assert len(fetch(server, store).traces) == 1


def test_a_request_becomes_a_span_of_the_service_that_answered(server):
    row = request(1, 1.5, 2500, endpoint="complete", parent_span_id="p", response_code=503)
    [span] = fetch(server, Store([row])).traces.to_dict("records")
    assert span == {
        "traceID": "t1",
        "spanID": "s1",
        "parentSpanID": "p",
        "serviceName": "ray-head",
        "methodName": "complete",
        "operationName": "/v1",
        "startTime": BASE * 10**6 + 1_500_000,
        "duration": 2500,
        "statusCode": 503,
    }


def test_the_captures_of_one_request_are_one_span_the_shortest(server):
    rows = [request(n, 1, duration, trace_id="t", span_id="s")
            for n, duration in ((1, 900), (2, 700), (3, 800))]  # fmt: skip
    telemetry = fetch(server, Store(rows))
    assert telemetry.traces["duration"].tolist() == [700]
    assert telemetry.counts["deepflow_requests_captured_again"] == 2
    assert len(telemetry.extras["deepflow_requests"]) == 3


def test_requests_without_a_span_are_not_taken_for_one(server):
    rows = [request(n, trace_id="t", span_id="") for n in (1, 2)]
    assert len(fetch(server, Store(rows)).traces) == 2


def test_what_is_of_no_trace_or_service_is_left_out_and_counted(server):
    rows = [request(1), request(2, trace_id=""), request(3, ip_1="10.9.9.9")]
    telemetry = fetch(server, Store(rows))
    assert telemetry.traces["traceID"].tolist() == ["t1"]
    assert telemetry.counts["deepflow_requests_without_trace_or_service"] == 2


def test_nulls_are_empty(server):
    row = request(1, endpoint=None, response_code=None, parent_span_id=None)
    [span] = fetch(server, Store([row])).traces.to_dict("records")
    assert (span["methodName"], span["statusCode"], span["parentSpanID"]) == ("POST /v1", 0, "")


def test_traces_are_completed_slowest_first(server):
    rows = [
        request(1, 1, 100, x_request_id_0="r1"),
        request(2, 1, 900, trace_id="t2", x_request_id_1="r2"),
        request(3, 1, 500, trace_id="t1", span_id="s3"),
        request(4, 1, 999, trace_id="t9", span_id=""),
    ]
    store = Store(rows, traces={"t1": [{"a": 1}], "t2": [{"b": 2}]})
    completed = fetch(server, store, page=9, complete=True).extras["deepflow_traces"]
    assert completed == [
        {"trace_id": "t2", "x_request_id": "r2", "tracing": [{"b": 2}]},
        {"trace_id": "t1", "x_request_id": "r1", "tracing": [{"a": 1}]},
    ]


def test_a_late_failure_is_asked_again(server):
    store = Store([request(n) for n in range(1, 10)], failures={2: (502, b""), 4: (200, b'{"OPT')})
    assert len(fetch(server, store).traces) == 9


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, b"out of memory"), "failed 3 times, at last with HTTP 500: out of memory"),
        ((400, b"bad"), "was answered by HTTP 400: bad"),
        ((200, {"OPT_STATUS": "FAILED", "DESCRIPTION": "no such table"}), "no such table"),
        (
            (200, {"OPT_STATUS": "SUCCESS", "result": {"columns": ["id"], "values": []}}),
            "not in list",
        ),
        ((200, []), "cannot be used"),
    ],
)
def test_a_bad_answer_is_one_clear_line(server, answer, message):
    with pytest.raises(ExportError, match=message) as error:
        fetch(server, lambda _path: answer)
    assert server.url in str(error.value)
    assert "l7_flow_log" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_server_that_repeats_itself_is_stopped(server):
    store = Store([request(n) for n in range(1, 10)])
    first = store.select
    store.select = lambda sql: first(re.sub(r" AND _id > \d+", "", sql))
    with pytest.raises(ExportError, match="its keys do not rise"):
        fetch(server, store)


def test_an_empty_window_has_no_spans(server):
    telemetry = fetch(server, Store([]))
    assert telemetry.traces.empty
    assert telemetry.extras["deepflow_requests"].empty


def test_only_what_spans_need_is_asked_for_unless_captures_are_wanted(server):
    store = Store([request(1)])
    server.answer = store
    endpoint = Endpoint("deepflow", server.url)
    telemetry = DeepFlow(endpoint, PLACEMENT, "ray").fetch(WINDOW, lambda _label: None)
    assert "request_domain" not in store.asked[0]
    assert telemetry.extras == {}
    assert len(telemetry.traces) == 1
