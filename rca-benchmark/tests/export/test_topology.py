import json

import pytest

from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export.topology import build_topology, read_placement


def spans(*rows):
    return typed_table(
        [(trace, span, parent, service, "", "", 0, 0, 0) for trace, span, parent, service in rows],
        TRACE_COLUMNS,
    )


def test_call_edges_run_from_parent_to_child_service():
    traces = spans(
        ("t1", "1", "", "nginx-proxy"),
        ("t1", "2", "1", "ray-head"),
        ("t1", "3", "2", "ray-head"),
        ("t1", "4", "3", "ray-replicas-0"),
        ("t2", "1", "", "nginx-proxy"),
        ("t2", "2", "1", "ray-head"),
        ("t3", "9", "4", "ray-replicas-1"),  # its parent is in another trace
    )
    edges = build_topology(traces, {}).to_numpy().tolist()
    assert edges == [["nginx-proxy", "ray-head", "call"], ["ray-head", "ray-replicas-0", "call"]]


def test_host_edges_come_from_the_placement():
    edges = build_topology(spans(), {"b": {"node": "n"}, "a": {"node": "n"}})
    assert edges.to_numpy().tolist() == [["a", "n", "host"], ["b", "n", "host"]]


def test_placement_is_read(tmp_path):
    path = tmp_path / "placement.json"
    path.write_text('{"ray-head": {"address": "10.0.0.1", "node": "here"}}')
    assert read_placement(path) == {"ray-head": {"address": "10.0.0.1", "node": "here"}}


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"a": "node"},
        {"a": {"address": "x"}},
        {"a_b": {"node": "n"}},
        {"a": {"node": "n_m"}},
    ],
)
def test_a_broken_placement_is_named(tmp_path, content):
    path = tmp_path / "placement.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"placement\.json"):
        read_placement(path)


def test_a_missing_placement_is_named(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        read_placement(tmp_path / "none.json")
