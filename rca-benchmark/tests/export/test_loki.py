import json
import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS, Window
from rca_benchmark.export.endpoint import Endpoint
from rca_benchmark.export.loki import Loki
from rca_benchmark.export.placement import Placement

START = 1_795_417_200 * SECOND_NS
WINDOW = Window(START, START + 60 * SECOND_NS)
SELECTOR = '{namespace="ray"}'


class Store:
    """What Loki's query_range does, as its documentation says, for selectors of equal labels.

    ``start`` is included, ``end`` is not; the limit counts over all streams; forward gives the
    earliest entries. At equal times the order is that of arrival within a stream, and of the
    labels' text across streams.
    """

    def __init__(self, entries, *, most=5_000, failures=()):
        self.entries = sorted(
            ((time, json.dumps(labels, sort_keys=True), place, line)
             for place, (time, labels, line) in enumerate(entries))
        )  # fmt: skip
        self.most = most
        self.failures = dict(failures)
        self.pages = []

    def __call__(self, path):
        asked = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
        self.pages.append(asked)
        if failure := self.failures.pop(len(self.pages), None):
            return failure
        assert urlsplit(path).path == "/loki/api/v1/query_range"
        if asked["direction"] != "forward":
            return 400, b"only forward here"
        limit, start, end = (int(asked[key]) for key in ("limit", "start", "end"))
        if limit > self.most:
            text = f"max entries limit per query exceeded ({limit} > {self.most})"
            return 400, text.encode()
        wanted = dict(re.findall(r'(\w+)="([^"]*)"', asked["query"]))
        inside = [
            entry
            for entry in self.entries
            if start <= entry[0] < end and wanted.items() <= json.loads(entry[1]).items()
        ]
        streams = {}
        for time, labels, _, line in inside[:limit]:
            streams.setdefault(labels, []).append([str(time), line])
        result = [{"stream": json.loads(name), "values": rows} for name, rows in streams.items()]
        data = {"resultType": "streams", "result": result, "stats": {}}
        return 200, {"status": "success", "data": data}


def stream(name="a", **more):
    return {"namespace": "ray", "container": name} | more


def fetch(server, store, *, page=3, window=WINDOW, placement=None):
    server.answer = store
    endpoint = Endpoint("loki", server.url, backoff_s=0.01, attempts=3)
    place = placement or Placement()
    return Loki(endpoint, SELECTOR, place, page=page).fetch(window, lambda _label: None)


@pytest.fixture
def server(serve):
    return serve(lambda _path: (500, b""))


def rows(telemetry):
    logs = telemetry.logs
    return list(zip(logs["time"], logs["service"], logs["message"], strict=True))


ENTRIES = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("abc"), st.sampled_from(["x", "y", "z"])),
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ENTRIES, st.integers(1, 8))
def test_nothing_is_lost_and_nothing_comes_twice(server, entries, page):
    told = [(START + offset, stream(name), line) for offset, name, line in entries]
    telemetry = fetch(server, Store(told), page=page)
    expected = Counter((time, labels["container"], line) for time, labels, line in told)
    assert Counter(rows(telemetry)) == expected
    assert telemetry.logs["time"].is_monotonic_increasing
    assert telemetry.counts["loki_lines"] == len(told)


def test_a_page_that_is_exactly_full_is_followed_by_another_look(server):
    store = Store([(START + second, stream(), f"{second}") for second in range(6)])
    assert [line for _, _, line in rows(fetch(server, store))] == list("012345")
    assert [int(page["start"]) - START for page in store.pages] == [0, 2, 4]


def test_more_entries_in_a_nanosecond_than_a_page_ask_for_a_larger_page(server):
    store = Store([(START + 5, stream(name), f"{n}") for name in "ab" for n in range(5)])
    assert len(rows(fetch(server, store))) == 10
    assert [page["limit"] for page in store.pages][:3] == ["3", "3", "6"]


def test_more_entries_in_a_nanosecond_than_loki_gives_are_an_error(server):
    store = Store([(START, stream(), f"{n}") for n in range(9)], most=8)
    with pytest.raises(ExportError, match="max entries limit per query exceeded"):
        fetch(server, store, page=4)


def test_the_window_is_kept_to_the_nanosecond(server):
    times = [WINDOW.start_ns - 1, WINDOW.start_ns, WINDOW.end_ns, WINDOW.end_ns + 1]
    telemetry = fetch(server, Store([(time, stream(), "x") for time in times]))
    assert telemetry.logs["time"].tolist() == times[1:3]


def test_a_late_failure_is_asked_again(server):
    told = [(START + n, stream(), f"{n}") for n in range(9)]
    store = Store(told, failures={3: (500, b"busy"), 4: (200, b'{"data": {"resu')})
    assert [line for _, _, line in rows(fetch(server, store))] == list("012345678")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, b"out of memory"), "failed 3 times, at last with HTTP 500: out of memory"),
        ((400, b"parse error at line 1"), "was answered by HTTP 400: parse error at line 1"),
        ((200, {"status": "success"}), "cannot be used .*KeyError"),
        ((200, {"data": {"resultType": "matrix", "result": []}}), "resultType is matrix"),
        ((200, {"data": {"resultType": "streams", "result": [{"stream": {}}]}}), "cannot be used"),
    ],
)
def test_a_bad_answer_is_one_clear_line(server, answer, message):
    with pytest.raises(ExportError, match=message) as error:
        fetch(server, lambda _path: answer)
    assert server.url in str(error.value)
    assert SELECTOR in str(error.value)
    assert "\n" not in str(error.value)


PLACEMENT = Placement({name: {"node": "n", "pod": f"{name}-x1"} for name in ("a", "ray-head")})


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        ({"container": "a", "pod": "p"}, ("a", "p/a")),
        (
            {"container": "istio-proxy", "pod": "ray-head-x1"},
            ("ray-head", "ray-head-x1/istio-proxy"),
        ),
        ({"app": "ray-head", "filename": "/var/log/x.log"}, ("ray-head", "/var/log/x.log")),
        ({"container": "operator", "pod": "kuberay"}, None),
    ],
)
def test_labels_lead_to_services(server, labels, owner):
    store = Store([(START, {"namespace": "ray"} | labels, "x")])
    telemetry = fetch(server, store, placement=PLACEMENT)
    found = list(zip(telemetry.logs["service"], telemetry.logs["source"], strict=True))
    assert found == ([owner] if owner else [])
    assert telemetry.counts["loki_lines_of_others"] == (owner is None)


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("INFO 11-23 07:00:12 [x.py:1] hello", "INFO", "[x.py:1] hello"),
        ('{"log": "2026-11-23 07:00:12,345 WARN x.py:1 -- hi\\n", "stream": "stdout"}', "WARNING",
         "x.py:1 -- hi"),
        ('{"message": "no level"}', "", "no level"),
        ('{"msg": "it broke", "level": "error"}', "ERROR", "it broke"),
        ("plain text", "", "plain text"),
        ("{'log': __import__('os').abort()}", "", "{'log': __import__('os').abort()}"),
        ("[1, 2]", "", "[1, 2]"),
    ],
)  # fmt: skip
def test_lines_are_parsed_and_never_evaluated(server, line, level, message):
    telemetry = fetch(server, Store([(START + 7, stream(), line)]))
    [row] = telemetry.logs.to_dict("records")
    assert (row["time"], row["level"], row["message"]) == (START + 7, level, message)
