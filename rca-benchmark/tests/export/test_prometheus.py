import urllib.parse

import numpy as np
import pytest

from rca_benchmark.errors import ExportError
from rca_benchmark.export import prometheus as module
from rca_benchmark.export.base import SECOND_NS, Window
from rca_benchmark.export.indicators import Query, read_catalogue
from rca_benchmark.export.prometheus import Prometheus

BASE = 1_795_417_200


def query(text, metric="x", **changes):
    return Query(**{"metric": metric, "unit": "", "meaning": "", "query": text, "kind": "service"}
                 | changes)  # fmt: skip


def fetch(url, window, *queries, services=(), **options):
    labels = []
    server = Prometheus(url, queries, services=services, backoff_s=0.01, **options)
    telemetry = server.fetch(window, labels.append)
    assert len(labels) == server.steps
    return telemetry


class TestRealPrometheus:
    def test_samples_come_back_exactly(self, prometheus_url, window):
        telemetry = fetch(prometheus_url, window, query("cpu_total"))
        assert telemetry.metrics["ray-head_x"].tolist() == [2.0 * second for second in range(61)]
        assert telemetry.metrics["nginx-proxy_x"].iloc[10] == 5
        assert telemetry.metrics.index.tolist() == window.grid().tolist()
        assert (telemetry.samples.expected, telemetry.samples.received) == (122, 122)

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
        assert telemetry.samples.expected - telemetry.samples.received == 8

    def test_a_nan_was_received_but_is_null(self, prometheus_url, window):
        telemetry = fetch(prometheus_url, window, query("nothing"))
        assert telemetry.metrics["ray-head_x"].isna().all()
        assert telemetry.samples.received == 61

    def test_an_absent_series_is_a_column_of_nulls(self, prometheus_url, window):
        wanted = query("no_such_metric", services="ray-*")
        services = ("nginx-proxy", "ray-head", "ray-replicas-0")
        telemetry = fetch(prometheus_url, window, wanted, services=services)
        assert list(telemetry.metrics) == ["ray-head_x", "ray-replicas-0_x"]
        assert telemetry.metrics.isna().all(axis=None)
        assert (telemetry.samples.expected, telemetry.samples.received) == (122, 0)

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

    def test_every_query_of_the_catalogue_is_understood(self, prometheus_url, window):
        queries = read_catalogue("local")
        telemetry = fetch(prometheus_url, window, *queries, services=("ray-head", "ray-replicas-0"))
        assert telemetry.samples.received == 0
        assert "ray-replicas-0_ttft-90" in telemetry.metrics

    def test_small_chunks_give_the_same_table(self, prometheus_url, window, monkeypatch):
        queries = (query("cpu_total", "a"), query("mem", "b"))
        whole = fetch(prometheus_url, window, *queries)
        monkeypatch.setattr(module, "POINTS_PER_QUERY", 7)
        parts = fetch(prometheus_url, window, *queries)
        assert parts.metrics.equals(whole.metrics)
        assert parts.samples == whole.samples

    def test_scrapes_that_failed_are_counted(self, prometheus_url):
        start = (BASE + 35) * SECOND_NS
        health = Prometheus(prometheus_url, ()).scrape_health(
            start, start + 20 * SECOND_NS, SECOND_NS
        )
        # Prometheus 2 counts the sample on the left edge of a range too.
        assert health["ray/ray-head"] == pytest.approx(15.5 / 20, abs=0.05)
        assert health["node/127.0.0.1:1"] == 1


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
        telemetry = Prometheus(server.url, (query("x"),)).fetch(window, no_tick)
        assert len(server.asked) == 3
        assert telemetry.metrics["a_x"].notna().sum() == 6

    def test_a_late_success_is_a_success(self, serve, window):
        answers = iter([(503, b"busy"), (500, b"busy"), success(series(values=[(BASE, "1")]))])
        server = serve(lambda _path: next(answers))
        assert fetch(server.url, window, query("x")).samples.received == 1

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            ((503, b"too busy"), "503.*too busy"),
            ((400, {"status": "error", "error": "bad_data"}), "400.*bad_data"),
            ((404, b"not here"), "404"),
            ((200, b"<html>"), "was answered by"),
            ((200, b'{"status": "success", "data": {"result": [{"me'), "was answered by"),
            ((200, {"status": "success"}), "JSON without a result"),
            ((200, []), "JSON without a result"),
            ((200, {"data": {"result": "none"}}), "no series but 'none'"),
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
        assert len(server.asked) <= module.RETRIES + 1

    def test_scrapes_in_a_form_that_cannot_be_used_are_named(self, serve):
        server = serve(lambda _path: success({"metric": {}, "value": []}))
        with pytest.raises(ExportError, match=r"'sum_over_time\(up\[9s\]\)' .*cannot be used"):
            Prometheus(server.url, ()).scrape_health(0, 9 * SECOND_NS, SECOND_NS)

    def test_a_server_that_is_down_is_named(self, serve, window):
        server = serve(lambda _path: success())
        server.server_close()
        with pytest.raises(ExportError, match=f"{server.url}: no answer to query 'x'"):
            fetch(server.url, window, query("x"))

    def test_a_server_that_is_too_slow_is_named(self, serve, window, monkeypatch):
        import threading

        release = threading.Event()
        monkeypatch.setattr(module, "RETRIES", 1)
        server = serve(lambda _path: (release.wait(10), success())[1])
        try:
            with pytest.raises(ExportError, match="no answer to query 'x' after 1 retries"):
                fetch(server.url, window, query("x"), timeout_s=0.1)
        finally:
            release.set()
