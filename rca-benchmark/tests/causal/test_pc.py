from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from rca_benchmark.causal.graph import Mark
from rca_benchmark.causal.meek import apply_meek_rules
from rca_benchmark.causal.pc import pc
from rca_benchmark.causal.series import independent_columns
from rca_benchmark.causal.skeleton import find_skeleton

MANY = 10**13  # rows: with population correlations tests then tell what is exactly independent
pytestmark = pytest.mark.filterwarnings("ignore:The number of features is much larger")


def graph_of(correlations, rows, alpha=0.05):
    names = tuple(f"n{place}" for place in range(len(correlations)))
    return pc(names, find_skeleton(correlations, rows, alpha))


def edges_of(marks):
    """Text of each edge, such as 0>1 and 1-2."""
    found = set()
    for i, j in np.argwhere(marks == Mark.ARROW).tolist():
        found.add(f"{i}>{j}")
    for i, j in np.argwhere(np.triu((marks == Mark.TAIL) & (marks.T == Mark.TAIL))).tolist():
        found.add(f"{i}-{j}")
    return found


def marks_from(size, edges):
    marks = np.zeros((size, size), dtype=np.int8)
    for edge in edges.split():
        i, kind, j = int(edge[0]), edge[1], int(edge[2])
        marks[i, j], marks[j, i] = (Mark.ARROW if kind == ">" else Mark.TAIL), Mark.TAIL
    return marks


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ("0>1 1-2", {"0>1", "1>2"}),  # rule 1
        ("0>1 1-2 2-3 3-4", {"0>1", "1>2", "2>3", "3>4"}),
        ("0>1 1>2 0-2", {"0>1", "1>2", "0>2"}),  # rule 2
        ("0-1 0-2 0-3 1>3 2>3", {"0-1", "0-2", "0>3", "1>3", "2>3"}),  # rule 3
        ("0-1 0-2 0-3 1>3 2>3 1-2", {"0-1", "0-2", "1-2", "0-3", "1>3", "2>3"}),
        ("0-1 1-2 0-2", {"0-1", "1-2", "0-2"}),
        ("0>1 1-2 2-0", {"0>1", "1-2", "0-2"}),
    ],
)
def test_meeks_rules(edges, expected):
    marks = marks_from(5, edges)
    assert edges_of(apply_meek_rules(marks)) == expected
    order = [3, 1, 4, 0, 2]
    moved = apply_meek_rules(marks[np.ix_(order, order)])
    np.testing.assert_array_equal(moved, apply_meek_rules(marks)[np.ix_(order, order)])


def test_no_rule_closes_a_cycle():
    # Rule 1 wants 2 -> 3, against the path 3 -> 4 -> 2.
    marks = marks_from(5, "0>1 1-2 2-3 3>4 4>2 1-4 0-4")
    found = apply_meek_rules(marks)
    directed = (found == Mark.ARROW) & (found.T == Mark.TAIL)
    assert nx.is_directed_acyclic_graph(nx.from_numpy_array(directed, create_using=nx.DiGraph))
    assert "3>2" in edges_of(found)


def true_cpdag(coefficients):
    """Edges on whose direction all DAGs agree that fit; by enumeration."""
    nodes = len(coefficients)
    pairs = np.argwhere(coefficients).tolist()

    def colliders(edges):
        into = {node: {i for i, j in edges if j == node} for node in range(nodes)}
        adjacent = {frozenset(edge) for edge in edges}
        return {
            (i, node, k)
            for node in range(nodes)
            for i, k in combinations(sorted(into[node]), 2)
            if frozenset((i, k)) not in adjacent
        }

    wanted = colliders(pairs)
    agreed = None
    for flips in np.ndindex(*[2] * len(pairs)):
        edges = [(j, i) if flip else (i, j) for (i, j), flip in zip(pairs, flips, strict=True)]
        dag = nx.DiGraph(edges)
        if nx.is_directed_acyclic_graph(dag) and colliders(edges) == wanted:
            agreed = set(edges) if agreed is None else agreed & set(edges)
    loose = {frozenset(pair) for pair in pairs} - {frozenset(edge) for edge in agreed or ()}
    return {f"{i}>{j}" for i, j in agreed or ()} | {f"{min(e)}-{max(e)}" for e in loose}


@pytest.mark.parametrize("seed", range(25))
def test_what_is_exactly_independent_gives_what_all_fitting_graphs_share(make_linear_model, seed):
    rng = np.random.default_rng(seed)
    coefficients = make_linear_model(rng, 6, rng.uniform(1.5, 3.5))
    if np.count_nonzero(coefficients) > 10:
        coefficients[:, 0] = 0
    paths = np.linalg.inv(np.eye(6) - coefficients)
    covariance = paths.T @ paths
    size = np.sqrt(np.diag(covariance))
    found = graph_of(covariance / np.outer(size, size), MANY, alpha=0.001)
    assert edges_of(found.marks) == true_cpdag(coefficients)


def assert_equal_to_causal_learn(values, learned_marks):
    from causallearn.search.ConstraintBased.PC import pc as learn

    skeleton = find_skeleton(np.corrcoef(values.T), len(values), 0.05)
    theirs = learn(values, 0.05, "fisherz", True, 0, 2, show_progress=False)
    np.testing.assert_array_equal(skeleton.adjacency, theirs.G.graph != 0)
    for i, j in np.argwhere(np.triu(~skeleton.adjacency, 1)).tolist():
        known = {int(node) for given in theirs.sepset[i, j] for node in given}
        assert skeleton.between(i, j) == known
    names = tuple(f"n{place}" for place in range(values.shape[1]))
    np.testing.assert_array_equal(pc(names, skeleton).marks, learned_marks(theirs.G))


def random_cases(seed, count, largest):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rows = int(rng.choice([60, 100, 200, 400]))
        yield rng, int(rng.integers(10, largest + 1)), rows, rng.uniform(1, 5)


def test_the_answer_is_that_of_causal_learn(simulate, learned_marks, all_ancestors):
    for case in random_cases(0, 40, 25):
        assert_equal_to_causal_learn(simulate(*case), learned_marks)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "count", "largest"), [(1, 110, 25), (2, 50, 60)])
def test_the_answer_is_that_of_causal_learn_on_more_graphs(
    simulate, learned_marks, all_ancestors, seed, count, largest
):
    for case in random_cases(seed, count, largest):
        assert_equal_to_causal_learn(simulate(*case), learned_marks)


@pytest.mark.slow
def test_the_answer_is_that_of_causal_learn_on_real_faults(
    real_series, learned_marks, all_ancestors
):
    for series in real_series:
        # Where an indicator follows from others, rounding errors decide.
        columns = independent_columns(series.correlations, len(series.values))
        assert len(columns) >= series.values.shape[1] - 1
        assert_equal_to_causal_learn(series.values[:, columns], learned_marks)
