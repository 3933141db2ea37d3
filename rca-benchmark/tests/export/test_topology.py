from rca_benchmark.case import TRACE_COLUMNS, typed_table
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.topology import build_topology, parent_rows, start_skew


def spans(*rows):
    return typed_table(
        [(trace, span, parent, service, "", "", 0, 0, 0) for trace, span, parent, service in rows],
        TRACE_COLUMNS,
    )


def topology(traces, *more):
    return build_topology(traces, parent_rows(traces), *more)


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
    edges = topology(traces, Placement()).to_numpy().tolist()
    assert edges == [["nginx-proxy", "ray-head", "call"], ["ray-head", "ray-replicas-0", "call"]]


def test_host_edges_come_from_the_placement():
    edges = topology(spans(), Placement({"b": {"node": "n"}, "a": {"node": "n"}}))
    assert edges.to_numpy().tolist() == [["a", "n", "host"], ["b", "n", "host"]]


def test_what_the_mesh_saw_is_added():
    edges = topology(spans(), Placement(), frozenset({("a", "b"), ("a", "a")}))
    assert edges.to_numpy().tolist() == [["a", "b", "call"]]


def test_parents_are_looked_up_in_their_own_trace():
    traces = spans(
        ("t1", "2", "1", "b"), ("t1", "1", "", "a"), ("t2", "2", "1", "b"), ("t3", "", "", "c")
    )
    assert parent_rows(traces).tolist() == [1, -1, -1, -1]
    assert parent_rows(spans()).tolist() == []


def test_spans_that_begin_before_their_cause_show_a_skew():
    traces = spans(("t", "1", "", "a"), ("t", "2", "1", "b"), ("t", "3", "1", "c"))
    traces["startTime"] = [5_000_000, 4_250_000, 6_000_000]
    assert start_skew(traces, parent_rows(traces)) == {"spans a -> b": 0.75}
