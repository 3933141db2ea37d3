import numpy as np
import pytest

from rca_benchmark.causal.graph import CausalGraph, Mark

TAIL, ARROW, CIRCLE = Mark.TAIL, Mark.ARROW, Mark.CIRCLE


def graph(size, *edges, weights=None):
    """Edges as (i, mark at i, mark at j, j)."""
    marks = np.zeros((size, size), dtype=np.int8)
    for i, at_i, at_j, j in edges:
        marks[j, i], marks[i, j] = at_i, at_j
    return CausalGraph(tuple("abcdefgh"[:size]), marks, weights)


@pytest.mark.parametrize(
    ("at_a", "at_b", "steps"),
    [
        (TAIL, ARROW, {"ba"}),  # a -> b
        (CIRCLE, ARROW, {"ba"}),  # a o-> b
        (ARROW, ARROW, {"ab", "ba"}),  # a <-> b
        (TAIL, TAIL, {"ab", "ba"}),  # a - b
        (CIRCLE, CIRCLE, {"ab", "ba"}),  # a o-o b
        (CIRCLE, TAIL, {"ab", "ba"}),  # a o- b
    ],
)
def test_steps_lead_to_what_may_be_a_cause(at_a, at_b, steps):
    for edge in ((0, at_a, at_b, 1), (1, at_b, at_a, 0)):
        walk = graph(2, edge).steps_to_causes()
        assert {"ab"[i] + "ab"[j] for i, j in np.argwhere(walk)} == steps
        assert set(walk[walk > 0]) == {1.0}


def test_a_step_weighs_what_its_edge_weighs():
    weights = np.array([[0, 3.0, 0], [0, 0, 0], [0, 5.0, 0]])
    walk = graph(3, (0, TAIL, ARROW, 1), (2, CIRCLE, CIRCLE, 1), weights=weights).steps_to_causes()
    assert walk.tolist() == [[0, 0, 0], [3.0, 0, 5.0], [0, 0, 0]]


def test_causes_become_arrows_and_those_both_ways_have_two_heads():
    causes = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0]])
    found = CausalGraph.from_causes(("a", "b", "c"), causes)
    assert found.marks.tolist() == [[0, ARROW, ARROW], [TAIL, 0, 0], [ARROW, 0, 0]]
    assert found.parents.tolist() == [[False, True, False], [False] * 3, [False] * 3]
    assert found.edges == 2


def random_marks(rng, size, density):
    edges = np.triu(rng.random((size, size)) < density, 1)
    marks = rng.integers(1, 4, (size, size)) * (edges | edges.T)
    return marks.astype(np.int8)


@pytest.mark.parametrize("seed", range(5))
def test_networkx_keeps_every_mark(seed):
    rng = np.random.default_rng(seed)
    found = CausalGraph(tuple("abcdefgh"), random_marks(rng, 8, 0.5))
    other = found.to_networkx()
    assert other.number_of_edges() == found.edges
    back = CausalGraph.from_networkx(other)
    assert back.names == found.names
    np.testing.assert_array_equal(back.marks, found.marks)
    np.testing.assert_array_equal(back.steps_to_causes(), found.steps_to_causes())


def test_networkx_keeps_weights():
    weights = np.array([[0, 2.0, 0], [0, 0, 0], [0.5, 4.0, 0]])
    found = graph(3, (0, TAIL, ARROW, 1), (2, TAIL, ARROW, 1), (2, TAIL, ARROW, 0), weights=weights)
    back = CausalGraph.from_networkx(found.to_networkx())
    np.testing.assert_array_equal(back.steps_to_causes(), found.steps_to_causes())


def test_networkx_keeps_both_weights_of_an_edge_that_is_walked_both_ways():
    weights = np.array([[0, 2.0], [7.0, 0]])
    found = graph(2, (0, ARROW, ARROW, 1), weights=weights)
    back = CausalGraph.from_networkx(found.to_networkx())
    np.testing.assert_array_equal(back.steps_to_causes(), found.steps_to_causes())


def test_networkx_edges_point_along_arrows():
    found = graph(3, (1, TAIL, ARROW, 0), (2, CIRCLE, ARROW, 1)).to_networkx()
    rest = {"head_mark": "ARROW", "weight": 1.0, "back_weight": 1.0}
    assert dict(found.edges) == {
        ("b", "a"): {"tail_mark": "TAIL"} | rest,
        ("c", "b"): {"tail_mark": "CIRCLE"} | rest,
    }


def test_an_edge_of_networkx_without_marks_is_directed():
    import networkx as nx

    found = CausalGraph.from_networkx(nx.DiGraph([("a", "b")]))
    assert found.marks.tolist() == [[0, ARROW], [TAIL, 0]]


def test_a_cycle_of_two_edges_from_networkx_is_an_edge_with_two_heads():
    import networkx as nx

    found = CausalGraph.from_networkx(nx.DiGraph([("a", "b"), ("b", "a")]))
    assert found.marks.tolist() == [[0, ARROW], [ARROW, 0]]


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ([[0, 2], [0, 0]], "one end"),
        ([[3, 0], [0, 0]], "itself"),
        ([[0]], "2 names"),
    ],
)
def test_what_is_no_graph_is_refused(marks, reason):
    with pytest.raises(ValueError, match=reason):
        CausalGraph(("a", "b"), np.array(marks, dtype=np.int8))


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="2 names"):
        CausalGraph(("a", "b"), np.zeros((2, 2), dtype=np.int8), np.zeros((3, 3)))
