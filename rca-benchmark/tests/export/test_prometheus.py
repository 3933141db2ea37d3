import threading
import urllib.parse

import numpy as np
import pytest

from rca_benchmark.errors import ExportError
from rca_benchmark.export import prometheus as module
from rca_benchmark.export.base import SECOND_NS, Window
from rca_benchmark.export.endpoint import Endpoint
from rca_benchmark.export.indicators import PLATFORMS, Query, read_catalogue
from rca_benchmark.export.original_series import OriginalSeries
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.prometheus import Prometheus
from rca_benchmark.export.scraping import Scraping

BASE = 1_795_417_200


def query(text, metric="x", **changes):
    return Query(**{"metric": metric, "unit": "", "meaning": "", "query": text, "kind": "service"}
                 | changes)  # fmt: skip


def endpoint(url, **limits):
    return Endpoint("prometheus", url, **{"backoff_s": 0.01} | limits)


def placed(*services, **changes):
    return Placement({name: {"node": "here"} | changes.get(name, {}) for name in services})


def fetch(url, window, *queries, services=(), placement=None, **limits):
    labels = []
    server = Prometheus(endpoint(url, **limits), queries, placement or placed(*services))
    telemetry = server.fetch(window, labels.append)
    assert len(labels) == server.steps
    return telemetry


class TestRealPrometheus:
    def test_samples_come_back_exactly(self, prometheus_url, window):
        telemetry = fetch(prometheus_url, window, query("cpu_total"))
        assert telemetry.metrics["ray-head_x"].tolist() == [2.0 * second for second in range(61)]
        assert telemetry.metrics["nginx-proxy_x"].iloc[10] == 5
        assert telemetry.metrics.index.tolist() == window.grid().tolist()
        assert telemetry.received == {"nginx-proxy_x": 61, "ray-head_x": 61}

    def test_rates_of_the_catalogue_form_are_right(self, prometheus_url, window):
        text = "sum by (service) (rate(cpu_total[5s]))"
        rate = fetch(prometheus_url, window, query(text)).metrics["ray-head_x"]
        np.testing.assert_allclose(rate.iloc[5:], 2)

    def test_a_gap_stays_a_gap(self, prometheus_url, window):
        text = "sum by (service) (last_over_time(mem[2s]))"
        telemetry = fetch(prometheus_url, window, query(text))
        null = np.flatnonzero(telemetry.metrics["ray-head_x"].isna())
        # The look-back of 2 s covers the first two steps after the last sample.
        assert null.tolist() == list(range(22, 30))
        assert telemetry.received == {"ray-head_x": 61 - 8}

    def test_a_nan_was_received_but_is_null(self, prometheus_url, window):
        telemetry = fetch(prometheus_url, window, query("nothing"))
        assert telemetry.metrics["ray-head_x"].isna().all()
        assert telemetry.received == {"ray-head_x": 61}

    def test_an_absent_series_is_a_column_of_nulls(self, prometheus_url, window):
        wanted = query("no_such_metric", services="ray-*")
        services = ("nginx-proxy", "ray-head", "ray-replicas-0")
        telemetry = fetch(prometheus_url, window, wanted, services=services)
        assert list(telemetry.metrics) == ["ray-head_x", "ray-replicas-0_x"]
        assert telemetry.metrics.isna().all(axis=None)
        assert telemetry.received == {"ray-head_x": 0, "ray-replicas-0_x": 0}

    def test_label_sets_that_collide_are_refused(self, prometheus_url, window):
        with pytest.raises(ExportError, match="both map to ray-head_x; aggregate by service"):
            fetch(prometheus_url, window, query("part"))

    @pytest.mark.parametrize("text", ["bad", "sum(cpu_total)"])
    def test_a_service_label_must_be_a_service(self, prometheus_url, window, text):
        with pytest.raises(ExportError, match="empty or holds an underscore"):
            fetch(prometheus_url, window, query(text))

    def test_a_wrong_query_is_quoted_with_its_answer(self, prometheus_url, window):
        with pytest.raises(ExportError, match=r"'sum\(' was answered by .*parse error"):
            fetch(prometheus_url, window, query("sum("))

    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_every_query_of_the_catalogue_is_understood(self, prometheus_url, window, platform):
        queries = read_catalogue(platform).queries
        telemetry = fetch(prometheus_url, window, *queries, services=("ray-head", "ray-replicas-0"))
        assert not any(telemetry.received.values())
        assert "ray-replicas-0_ttft-90" in telemetry.metrics

    def test_every_series_of_the_study_is_understood(self, prometheus_url, window, no_tick):
        series = read_catalogue("local").original
        answer = OriginalSeries(endpoint(prometheus_url), series).fetch(window, no_tick)
        table = answer.extras["original-series"]
        assert list(table) == ["time", *sorted(series)]
        assert table.drop(columns="time").isna().all(axis=None)

    def test_a_service_that_is_not_of_the_stack_is_left_out_and_counted(
        self, prometheus_url, window
    ):
        telemetry = fetch(prometheus_url, window, query("cpu_total"), services=("ray-head",))
        assert list(telemetry.metrics) == ["ray-head_x"]
        assert telemetry.counts == {"prometheus_series_of_others": 1}

    def test_pods_lead_to_services_and_their_series_are_combined(self, prometheus_url, window):
        placement = placed("ray-head", **{"ray-head": {"gpus": ["a", "b"]}})
        wanted = query("part", label="process", look_up="gpu", combine="sum")
        telemetry = fetch(prometheus_url, window, wanted, placement=placement)
        assert telemetry.metrics["ray-head_x"].tolist() == [3.0] * 61
        wanted = query("part", label="process", look_up="gpu", combine="mean")
        telemetry = fetch(prometheus_url, window, wanted, placement=placement)
        assert telemetry.metrics["ray-head_x"].tolist() == [1.5] * 61
        assert telemetry.received == {"ray-head_x": 61}

    def test_two_queries_for_one_column_are_refused(self, prometheus_url, window):
        twice = (query("cpu_total"), query("mem", services="ray-*"))
        with pytest.raises(ExportError, match="yields ray-head_x, and so does"):
            fetch(prometheus_url, window, *twice)

    def test_small_chunks_give_the_same_table(self, prometheus_url, window, monkeypatch):
        queries = (query("cpu_total", "a"), query("mem", "b"))
        whole = fetch(prometheus_url, window, *queries)
        monkeypatch.setattr(module, "POINTS_PER_QUERY", 7)
        parts = fetch(prometheus_url, window, *queries)
        assert parts.metrics.equals(whole.metrics)
        assert parts.received == whole.received

    def test_scrapes_that_failed_are_counted(self, prometheus_url, window, no_tick):
        start = (BASE + 35) * SECOND_NS
        span = (start, start + 20 * SECOND_NS)
        health = Scraping(endpoint(prometheus_url), span).fetch(window, no_tick).scrapes
        # Prometheus 2 counts the sample on the left edge of a range too.
        assert health["ray/ray-head"] == pytest.approx(15.5 / 20, abs=0.05)
        assert health["node/127.0.0.1:1"] == 1

    def test_clocks_are_compared(self, prometheus_url, window, no_tick):
        skew = Scraping(endpoint(prometheus_url), None).fetch(window, no_tick).clock_skew_s
        assert abs(skew["prometheus"]) < 0.5
        assert skew["node here"] == pytest.approx(0.25, abs=0.001)

    def test_call_edges_come_from_the_mesh(self, prometheus_url, window, no_tick):
        calls = "sum by (source_canonical_service, destination_canonical_service)"
        calls += " (increase(mesh_total[$window])) > 0"
        scraping = Scraping(endpoint(prometheus_url), None, calls)
        assert scraping.fetch(window, no_tick).calls == (("nginx-proxy", "ray-head"),)


def series(service="a", values=()):
    return {"metric": {"service": service}, "values": [list(pair) for pair in values]}


def success(*result):
    return 200, {"status": "success", "data": {"resultType": "matrix", "result": list(result)}}


class TestAnswers:
    def test_a_window_longer_than_the_limit_is_split(self, serve, no_tick):
        def answer(path):
            asked = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
            start, end = int(asked["start"][0]), int(asked["end"][0])
            assert end - start < 11_000
            return success(series(values=[(start, "1"), (end, "2")]))

        window = Window(BASE * SECOND_NS, (BASE + 25_000) * SECOND_NS)
        server = serve(answer)
        telemetry = Prometheus(endpoint(server.url), (query("x"),), placed()).fetch(window, no_tick)
        assert len(server.asked) == 3
        assert telemetry.metrics["a_x"].notna().sum() == 6

    def test_a_late_success_is_a_success(self, serve, window):
        answers = iter([(503, b"busy"), (500, b"busy"), success(series(values=[(BASE, "1")]))])
        server = serve(lambda _path: next(answers))
        assert fetch(server.url, window, query("x")).received == {"a_x": 1}

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            ((503, b"too busy"), "503.*too busy"),
            ((400, {"status": "error", "error": "bad_data"}), "400.*bad_data"),
            ((404, b"not here"), "404"),
            ((200, b"<html>"), "malformed JSON"),
            (
                (200, b'{"status":"success","data":{"resultType":"matrix","result":[{"me'),
                "malformed",
            ),
            ((200, {"status": "success"}), "no matrix but None"),
            ((200, []), "was answered by"),
            ((200, {"status": "success", "data": {"resultType": "vector"}}), "no matrix but"),
            (success(series(values=[(BASE + 0.5, "1")])), "beside the time grid"),
            (success(series(values=[(BASE - 1, "1")])), "beside the time grid"),
            (success({"values": []}), "cannot be used"),
            (success(series(values=[(BASE, "many")])), "cannot be used"),
        ],
    )
    def test_a_bad_answer_is_one_clear_line(self, serve, window, answer, message):
        server = serve(lambda _path: answer)
        with pytest.raises(ExportError, match=message) as error:
            fetch(server.url, window, query("cpu_query"))
        assert "cpu_query" in str(error.value)
        assert "\n" not in str(error.value)
        assert len(server.asked) <= 4

    def test_scrapes_in_a_form_that_cannot_be_used_are_named(self, serve, window, no_tick):
        server = serve(lambda _path: success({"metric": {}, "value": []}))
        with pytest.raises(ExportError, match=r"'sum_over_time\(up\[9s\]\)' .*cannot be used"):
            Scraping(endpoint(server.url), (0, 9 * SECOND_NS)).fetch(window, no_tick)

    def test_a_server_that_is_down_is_named(self, serve, window):
        server = serve(lambda _path: success())
        server.server_close()
        with pytest.raises(
            ExportError, match=f"{server.url}: query 'x' failed 4 times, .*no answer"
        ):
            fetch(server.url, window, query("x"))

    def test_a_server_that_is_too_slow_is_named(self, serve, window):
        release = threading.Event()
        server = serve(lambda _path: (release.wait(10), success())[1])
        try:
            with pytest.raises(ExportError, match="query 'x' failed 2 times"):
                fetch(server.url, window, query("x"), timeout_s=0.1, attempts=2)
        finally:
            release.set()

    def test_a_job_that_is_scraped_too_seldom_is_a_problem(self, serve, window, no_tick):
        def answer(path):
            if "/targets" in path:
                target = {"labels": {"job": "ray", "service": "a"}, "scrapeInterval": "1m30s"}
                return 200, {"status": "success", "data": {"activeTargets": [target]}}
            if "time%28%29" in path and "node_time" not in path:
                return 200, {"data": {"result": [1_795_417_200, "1795417200"]}}
            return 200, {"data": {"result": []}}

        scraping = Scraping(endpoint(serve(answer).url), None).fetch(window, no_tick)
        assert scraping.problems == (
            "job ray is scraped every 1m30s, the step is 1 s: its samples would repeat",
        )
