from importlib import resources
from pathlib import Path

import pytest
import yaml

from rca_benchmark.errors import ExportError
from rca_benchmark.export import indicators
from rca_benchmark.export.indicators import PLATFORMS, Query, read_catalogue


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_entry_says_what_it_is(platform):
    for query in read_catalogue(platform).queries:
        assert query.unit
        assert query.meaning
        assert "_" not in query.metric
        assert f"by ({query.label}" in query.query
        assert "$" not in query.query


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_query_changes_unnoticed(platform):
    """To accept a change, write the text below into the golden file and read its diff."""
    catalogue = read_catalogue(platform)
    lines = [f"step {catalogue.step_s} s, window {catalogue.window_s} s"]
    lines += [
        f"{query.kind} {query.services} {query.metric} [{query.unit}] {query.label} "
        f"{query.look_up or '-'} {query.combine or '-'}: {query.query}"
        for query in catalogue.queries
    ]
    lines += [f"calls: {catalogue.calls}"]
    lines += [f"original {name}: {query}" for name, query in catalogue.original.items()]
    golden = Path(__file__).with_name("golden") / f"queries-{platform}.txt"
    assert "\n".join(lines) + "\n" == golden.read_text(encoding="utf-8")


def test_both_platforms_say_the_same_of_the_same_metric():
    local, cluster = (
        {(q.kind, q.metric, q.services): q.unit for q in read_catalogue(name).queries}
        for name in PLATFORMS
    )
    shared = local.keys() & cluster.keys()
    assert len(shared) > 25
    assert {key: local[key] for key in shared} == {key: cluster[key] for key in shared}


CANONICAL = """cpu mem network-receive network-transmit disk-read disk-write throttled restarts
    latency-50 latency-90 latency-99 workload error ttft-90 itl-90 queue-time-90 running waiting
    kvcache preemptions prompt-tokens generation-tokens gpu gpu-mem gpu-power gpu-clock gpu-temp"""


def test_every_canonical_indicator_is_there():
    assert set(CANONICAL.split()) <= {
        query.metric for query in read_catalogue("kubernetes").queries
    }
    without_gpu = {name for name in CANONICAL.split() if not name.startswith("gpu")}
    assert without_gpu <= {query.metric for query in read_catalogue("local").queries}


def test_the_windows_follow_the_scrape_interval():
    catalogue = read_catalogue("local", step_s=10)
    assert (catalogue.step_s, catalogue.window_s) == (10, 50)
    assert "[50s]" in catalogue.queries[0].query


def test_the_namespace_is_that_of_the_stack():
    queries = read_catalogue("kubernetes", namespace="mine").queries
    assert 'namespace="mine"' in queries[0].query


def test_columns_are_those_of_the_services_that_match():
    query = Query("ttft-90", "s", "", "", "service", "ray-replicas-*")
    assert query.columns(("nginx-proxy", "ray-replicas-0")) == ["ray-replicas-0_ttft-90"]


ENTRY = {"metric": "cpu", "unit": "1", "meaning": "m", "query": "q", "kind": "service"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"queries": [ENTRY, ENTRY]}, "metric occurs twice"),
        ({"queries": [ENTRY | {"kind": "pod"}]}, "'pod' is none of"),
        ({"queries": [ENTRY | {"look_up": "gpus"}]}, "'gpus' is none of"),
        ({"queries": [ENTRY | {"combine": "most"}]}, "'most' is none of"),
        ({"queries": [ENTRY | {"colour": "red"}]}, "colour"),
        ({"queries": [ENTRY | {"query": "rate(x[$window])"}]}, "window"),
        ({"queries": [{"metric": "cpu", "query": "q"}]}, "missing"),
        ({}, "queries"),
        ({"queries": [], "scrapes_per_window": 3}, "at least 4"),
        ([], "must be a mapping"),
    ],
)
def test_a_broken_catalogue_is_refused(tmp_path, monkeypatch, document, message):
    (tmp_path / "queries").mkdir()
    if isinstance(document, dict):
        document = {"step_seconds": 1, "scrapes_per_window": 5} | document
    (tmp_path / "queries" / "local.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "queries" / "original.yaml").write_text("series: {}")
    monkeypatch.setattr(indicators.resources, "files", lambda _package: tmp_path)
    with pytest.raises(ExportError, match=message):
        read_catalogue("local")


def test_the_catalogue_ships_with_the_package():
    assert (resources.files("rca_benchmark.export") / "queries" / "local.yaml").is_file()
