import contextlib
import importlib
import io
from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest

from rca_benchmark.causal import possible_d_sep as further
from rca_benchmark.causal.fci import fci, with_arrows_at_colliders
from rca_benchmark.causal.fci_rules import apply_arrowhead_rules, apply_tail_rules
from rca_benchmark.causal.graph import Mark
from rca_benchmark.causal.possible_d_sep import bits, possible_d_sep, separate_further
from rca_benchmark.causal.skeleton import Skeleton, find_skeleton

MANY = 10**13  # rows: with population correlations tests then tell what is exactly independent
EXACT = 0.001
KINDS = {"-": Mark.TAIL, ">": Mark.ARROW, "<": Mark.ARROW, "o": Mark.CIRCLE}
pytestmark = pytest.mark.filterwarnings("ignore:The number of features is much larger")


def marks_from(edges):
    """Marks of edges such as 0o>1, 1<>2 and 2->3."""
    rows = [(int(edge[0]), KINDS[edge[1]], KINDS[edge[2]], int(edge[3])) for edge in edges.split()]
    size = 1 + max(max(row[0], row[3]) for row in rows)
    marks = np.zeros((size, size), dtype=np.int8)
    for i, at_i, at_j, j in rows:
        marks[j, i], marks[i, j] = at_i, at_j
    return marks


def skeleton_from(marks, separating=()):
    return Skeleton(marks != Mark.NONE, dict(separating))


def arrowheads(edges, separating=()):
    marks = marks_from(edges)
    return apply_arrowhead_rules(marks, skeleton_from(marks, separating))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0o>1 1oo2", "0o>1 1->2"),  # R1
        ("0->1 1<>2 0oo2", "0->1 1<>2 0o>2"),  # R2, and no more
        ("0<>1 1->2 0oo2", "0<>1 1->2 0o>2"),  # R2
        ("0o>1 1<>2 0oo2", "0o>1 1<>2 0oo2"),  # no tail, no R2
        ("0o>1 2o>1 0oo3 2oo3 3oo1", "0o>1 2o>1 0oo3 2oo3 3o>1"),  # R3
        ("0o>1 2o>1 0oo3 2oo3 3oo1 0oo2", "0o>1 2o>1 0oo3 2oo3 3oo1 0oo2"),
    ],
)
def test_arrowhead_rules(before, after):
    np.testing.assert_array_equal(arrowheads(before), marks_from(after))


@pytest.mark.parametrize(
    ("separating", "after"), [({3}, "2->3"), ((), "2<>3")], ids=["non-collider", "collider"]
)
def test_a_discriminating_path_tells_the_middle(separating, after):
    # 0 *-> 1 <-> 2 o-> 3 with 1 -> 3: the path 0, 1, 2, 3 discriminates 2.
    edges = "0o>1 1<o2 1->3 2o>3"
    found = arrowheads(edges, {(0, 3): frozenset({1, 2} if separating else {1})})
    expected = "0o>1 1<o2 1->3 " if separating else "0o>1 1<>2 1->3 "
    np.testing.assert_array_equal(found, marks_from(expected + after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0->1 1->2 0o>2", "0->1 1->2 0->2"),  # R8
        ("0-o1 1->2 0o>2", "0-o1 1->2 0->2"),  # R8
        ("0<>1 1->2 0o>2", "0<>1 1->2 0o>2"),
        ("0o>1 0oo2 2oo3 3o>1", "0->1 0oo2 2oo3 3->1"),  # R9: 0 2 3 1, and 3 2 0 1
        ("0o>1 0oo2 2o>1", "0o>1 0oo2 2o>1"),
        ("0o>1 0oo2 0oo3 2->1 3->1", "0->1 0oo2 0oo3 2->1 3->1"),  # R10 with paths of one edge
        ("0o>1 0oo2 0oo3 2->1 3->1 2oo3", "0o>1 0oo2 0oo3 2->1 3->1 2oo3"),  # 2 and 3 adjacent
        (
            "0o>1 0oo2 0oo3 2oo4 3oo5 4->1 5->1 2oo1 3oo1",
            "0->1 0oo2 0oo3 2oo4 3oo5 4->1 5->1 2oo1 3oo1",
        ),  # R10
    ],
)
def test_tail_rules(before, after):
    np.testing.assert_array_equal(apply_tail_rules(marks_from(before)), marks_from(after))


def reached(edges, start, without):
    marks = marks_from(edges)
    return possible_d_sep(bits(marks != Mark.NONE), bits(marks.T == Mark.ARROW), start, without)


def test_possible_d_sep_runs_through_colliders_and_triangles():
    chain = "0o>1 1<>2 2<>3 3<>4 4<o5"
    assert reached(chain, 0, 5) == [1, 2, 3, 4]
    assert reached(chain, 0, 3) == [1, 2]
    assert reached("0oo1 1oo2", 0, 3 - 1) == [1]
    assert reached("0oo1 1oo2 2oo3", 0, 3) == [1]
    assert reached("0oo1 1oo2 0oo2 2oo3 4oo3", 0, 4) == [1, 2]
    assert reached("0oo1 1oo2 0oo2 1oo3 2oo3 4oo3", 0, 4) == [1, 2, 3]


def hidden_correlations(coefficients, observed):
    paths = np.linalg.inv(np.eye(len(coefficients)) - coefficients)
    covariance = (paths.T @ paths)[np.ix_(observed, observed)]
    size = np.sqrt(np.diag(covariance))
    return covariance / np.outer(size, size)


def exact_graph(coefficients, observed):
    correlations = hidden_correlations(coefficients, observed)
    names = tuple(f"n{place}" for place in observed)
    skeleton = find_skeleton(correlations, MANY, EXACT)
    return fci(names, skeleton, correlations, MANY, EXACT)


def test_a_set_beyond_the_neighbours_is_found():
    # 5, 6 and 7 are hidden. Nothing but 0, 3 and 4 together separates 1 and 2, but 4 is a
    # neighbour of neither: 3 is needed against 2 <- 7 -> 3 -> 1, and opens 2 <- 7 -> 3 <- 4.
    coefficients = np.zeros((8, 8))
    for i, j in ((0, 2), (3, 1), (4, 3), (5, 0), (5, 1), (6, 0), (6, 4), (7, 2), (7, 3)):
        coefficients[i, j] = 0.5 + 0.1 * i
    correlations = hidden_correlations(coefficients, [0, 1, 2, 3, 4])
    first = find_skeleton(correlations, MANY, EXACT)
    assert first.adjacency[1, 2]
    final = separate_further(first, with_arrows_at_colliders(first), correlations, MANY, EXACT)
    assert final.between(1, 2) == {0, 3, 4}
    adjacency, _ = truth(coefficients, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(final.adjacency, adjacency)


def truth(coefficients, observed):
    """Which observed variables no set separates, and which are ancestors of which."""
    dag = nx.from_numpy_array(coefficients != 0, create_using=nx.DiGraph)
    above = {node: nx.ancestors(dag, node) for node in dag}
    size = len(observed)
    adjacency = np.zeros((size, size), dtype=bool)
    for i, j in combinations(range(size), 2):
        x, y = observed[i], observed[j]
        given = ((above[x] | above[y]) & set(observed)) - {x, y}
        adjacency[i, j] = adjacency[j, i] = not nx.is_d_separator(dag, {x}, {y}, given)
    return adjacency, np.array([[i in above[j] for j in observed] for i in observed])


def hidden_models(seed, count, smallest, largest, make_linear_model):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        nodes = int(rng.integers(smallest, largest + 1))
        hidden = int(rng.integers(1, max(2, nodes // 3) + 1))
        coefficients = make_linear_model(rng, nodes, rng.uniform(1.5, 4))
        yield coefficients, sorted(rng.permutation(nodes)[hidden:].tolist())


def test_what_is_exactly_independent_gives_only_what_is_true(make_linear_model):
    for coefficients, observed in hidden_models(0, 100, 6, 12, make_linear_model):
        adjacency, ancestors = truth(coefficients, observed)
        marks = exact_graph(coefficients, observed).marks
        np.testing.assert_array_equal(marks != Mark.NONE, adjacency)
        assert not ancestors[marks.T == Mark.ARROW].any()
        assert ancestors[marks.T == Mark.TAIL].all()


def canonical(marks):
    """A DAG with the separations of a maximal ancestral graph: a hidden cause for each i <-> j."""
    dag = nx.DiGraph()
    dag.add_nodes_from(range(len(marks)))
    for i, j in np.argwhere(np.triu(marks)).tolist():
        if marks[i, j] == marks[j, i]:
            dag.add_edges_from([((i, j), i), ((i, j), j)])
        else:
            dag.add_edge(*((i, j) if marks[i, j] == Mark.ARROW else (j, i)))
    return dag


def separations(dag, nodes):
    return [
        nx.is_d_separator(dag, {x}, {y}, set(given))
        for x, y in combinations(nodes, 2)
        for size in range(len(nodes) - 1)
        for given in combinations([node for node in nodes if node not in (x, y)], size)
    ]


def is_ancestral(marks):
    dag = nx.from_numpy_array(
        (marks == Mark.ARROW) & (marks.T == Mark.TAIL), create_using=nx.DiGraph
    )
    if not nx.is_directed_acyclic_graph(dag):
        return False
    above = {node: nx.ancestors(dag, node) for node in dag}
    both = np.argwhere((marks == Mark.ARROW) & (marks.T == Mark.ARROW)).tolist()
    return all(i not in above[j] for i, j in both)


def shared_marks(coefficients, observed):
    """What all ancestral graphs with the same separations agree on, by enumeration."""
    adjacency, _ = truth(coefficients, observed)
    dag = nx.from_numpy_array(coefficients != 0, create_using=nx.DiGraph)
    wanted = separations(dag, observed)
    pairs = np.argwhere(np.triu(adjacency)).tolist()
    agreed = None
    ends = [(Mark.ARROW, Mark.TAIL), (Mark.TAIL, Mark.ARROW), (Mark.ARROW, Mark.ARROW)]
    colliders = {}
    for kinds in product(ends, repeat=len(pairs)):
        marks = np.zeros(adjacency.shape, dtype=np.int8)
        for (i, j), (at_j, at_i) in zip(pairs, kinds, strict=True):
            marks[i, j], marks[j, i] = at_j, at_i
        if not is_ancestral(marks):
            continue
        unshielded = frozenset(
            (i, k, node)
            for i, k in combinations(range(len(marks)), 2)
            for node in range(len(marks))
            if not marks[i, k] and marks[i, node] == marks[k, node] == Mark.ARROW
        )
        if colliders and unshielded not in colliders:
            continue
        if separations(canonical(marks), range(len(marks))) == wanted:
            colliders = {unshielded}
            agreed = marks if agreed is None else np.where(agreed == marks, marks, Mark.CIRCLE)
    return agreed


def assert_complete(seeds, nodes, make_linear_model):
    tried = 0
    for coefficients, observed in hidden_models(seeds, 60, 5, nodes, make_linear_model):
        if len(observed) <= 5 and truth(coefficients, observed)[0].sum() <= 14:
            expected = shared_marks(coefficients, observed)
            np.testing.assert_array_equal(exact_graph(coefficients, observed).marks, expected)
            tried += 1
    assert tried > 10


@pytest.mark.slow
def test_what_is_exactly_independent_gives_all_that_fitting_graphs_share(make_linear_model):
    assert_complete(0, 7, make_linear_model)


class EitherOrder(dict):
    """Separating sets of causal-learn, found by either order of the pair."""

    def get(self, pair, default=None):
        return super().get(pair, super().get(pair[::-1], default))


def repaired_fci(values, learned_marks, monkeypatch):
    """causal-learn's own steps up to R4, but for its departures from the papers.

    Possible-D-SEP is ours; a set is found by either order of its pair; no first set of a size is
    skipped; and see ``learned_orientation``.
    """
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.utils.cit import CIT
    from causallearn.utils.FAS import fas

    learn = importlib.import_module("causallearn.search.ConstraintBased.FCI")

    class Copying(learn.DepthChoiceGenerator):
        def next(self):
            choice = super().next()
            return None if choice is None else list(choice)

    nodes = [GraphNode(f"n{place:03}") for place in range(values.shape[1])]
    test = CIT(values, "fisherz")
    graph, found, _ = fas(values, nodes, test, alpha=0.05, show_progress=False)
    found = EitherOrder(found)
    learn.reorientAllWith(graph, Endpoint.CIRCLE)
    learn.rule0(graph, nodes, found, None, verbose=False)
    marks = learned_marks(graph)
    adjacent, into = bits(marks != Mark.NONE), bits(marks.T == Mark.ARROW)

    def ours(x, y, _graph, _length):
        start, without = graph.node_map[x], graph.node_map[y]
        return [nodes[place] for place in possible_d_sep(adjacent, into, start, without)]

    with monkeypatch.context() as patch:
        patch.setattr(learn, "getPossibleDsep", ours)
        patch.setattr(learn, "DepthChoiceGenerator", Copying)
        learn.removeByPossibleDsep(graph, test, 0.05, found)
    return learned_orientation(graph, found, learned_marks)


def learned_orientation(graph, found, learned_marks):
    """R0 to R4 by causal-learn; R4 is tried in each round and reads the sets."""
    from causallearn.graph.Endpoint import Endpoint

    learn = importlib.import_module("causallearn.search.ConstraintBased.FCI")
    learn.reorientAllWith(graph, Endpoint.CIRCLE)
    learn.rule0(graph, graph.nodes, found, None, verbose=False)
    changed = True
    while changed:
        changed = learn.rulesR1R2cycle(graph, None, changeFlag=False)
        changed = learn.ruleR3(graph, found, None, changed)
        changed = learn.ruleR4B(graph, -1, None, lambda *_: 0.0, 0.05, found, changed, None)
    return learned_marks(graph)


def assert_equal_to_repaired(seed, count, largest, simulate, learned_marks, monkeypatch):
    monkeypatch.setattr(further, "MOST_TESTS", 10**9)
    rng = np.random.default_rng(seed)
    went = 0
    for _ in range(count):
        nodes, rows = int(rng.integers(8, largest + 1)), int(rng.choice([100, 200, 400, 1000]))
        values = simulate(rng, nodes, rows, rng.uniform(1.5, 3.5))[:, : nodes * 3 // 4]
        correlations = np.corrcoef(values.T)
        first = find_skeleton(correlations, rows, 0.05)
        marks = with_arrows_at_colliders(first)
        final = separate_further(first, marks, correlations, rows, 0.05)
        found = apply_arrowhead_rules(with_arrows_at_colliders(final), final)
        np.testing.assert_array_equal(found, repaired_fci(values, learned_marks, monkeypatch))
        went += not np.array_equal(first.adjacency, final.adjacency)
    assert went > count / 10


def test_up_to_rule_4_the_answer_is_that_of_causal_learn_repaired(
    simulate, learned_marks, monkeypatch
):
    assert_equal_to_repaired(0, 50, 14, simulate, learned_marks, monkeypatch)


@pytest.mark.slow
def test_up_to_rule_4_the_answer_is_that_of_causal_learn_repaired_on_larger_graphs(
    simulate, learned_marks, monkeypatch
):
    assert_equal_to_repaired(1, 60, 20, simulate, learned_marks, monkeypatch)


@pytest.mark.slow
def test_rules_1_to_4_give_what_causal_learn_makes_of_real_faults(real_series, learned_marks):
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode

    for series in real_series:
        correlations, rows = series.correlations, len(series.values)
        first = find_skeleton(correlations, rows, 0.05)
        marks = with_arrows_at_colliders(first)
        final = separate_further(first, marks, correlations, rows, 0.05)
        graph = GeneralGraph([GraphNode(name) for name in series.names])
        nodes, circle = graph.nodes, Endpoint.CIRCLE
        found = EitherOrder()
        for i, j in combinations(range(len(nodes)), 2):
            if final.adjacency[i, j]:
                graph.add_edge(Edge(nodes[i], nodes[j], circle, circle))
            else:
                found[i, j] = set(final.between(i, j))
        ours = apply_arrowhead_rules(with_arrows_at_colliders(final), final)
        np.testing.assert_array_equal(ours, learned_orientation(graph, found, learned_marks))


def test_most_answers_are_those_of_causal_learn_as_it_is(simulate, learned_marks):
    from causallearn.search.ConstraintBased.FCI import fci as learn

    rng = np.random.default_rng(1)
    equal = 0
    for _ in range(30):
        nodes = int(rng.integers(8, 13))
        values = simulate(rng, nodes, 400, rng.uniform(1, 2.5))[:, : nodes * 3 // 4]
        correlations = np.corrcoef(values.T)
        names = tuple(f"n{place:03}" for place in range(values.shape[1]))
        skeleton = find_skeleton(correlations, 400, 0.05)
        found = fci(names, skeleton, correlations, 400, 0.05)
        with contextlib.redirect_stdout(io.StringIO()):
            theirs, _ = learn(values, "fisherz", 0.05, show_progress=False, node_names=list(names))
        equal += np.array_equal(found.marks, learned_marks(theirs))
    assert equal > 20


def test_sets_are_only_as_large_as_can_be_tried_for_all(simulate, monkeypatch):
    correlations = np.corrcoef(simulate(np.random.default_rng(11), 20, 300, 3.5)[:, :14].T)
    first = find_skeleton(correlations, 300, 0.05)
    marks = with_arrows_at_colliders(first)
    edges = []
    for bound in (0, 1000, 10**9):
        monkeypatch.setattr(further, "MOST_TESTS", bound)
        final = separate_further(first, marks, correlations, 300, 0.05)
        edges.append(int(final.adjacency.sum()) // 2)
        new = set(final.separating) - set(first.separating)
        assert all(len(final.between(*pair)) >= 2 for pair in new)
    assert edges[0] == first.adjacency.sum() // 2
    assert edges[0] > edges[1] > edges[2]


def test_a_hidden_common_cause_gives_an_edge_with_two_heads():
    # 0 -> 1 <- 4 -> 2 <- 3 with 4 hidden.
    coefficients = np.zeros((5, 5))
    for i, j in ((0, 1), (4, 1), (4, 2), (3, 2)):
        coefficients[i, j] = 0.8
    found = exact_graph(coefficients, [0, 1, 2, 3])
    np.testing.assert_array_equal(found.marks, marks_from("0o>1 1<>2 2<o3"))
