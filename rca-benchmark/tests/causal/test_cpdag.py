import itertools

import numpy as np
import pytest

from rca_benchmark.causal.cpdag import (
    Pdag,
    completed,
    consistent_extension,
    equivalence_class,
    members,
)
from rca_benchmark.causal.graph import Mark


def pdag(count, directed=(), undirected=()):
    graph = Pdag.without_edges(count)
    for tail, head in directed:
        graph.add(tail, head)
    for one, other in undirected:
        graph.neighbours[one] |= 1 << other
        graph.neighbours[other] |= 1 << one
    return graph


def fields(graph):
    return graph.parents, graph.children, graph.neighbours


def colliders(parents):
    adjacent = {(a, b) for b, into in enumerate(parents) for a in members(into)}
    return {
        (a, node, b)
        for node, into in enumerate(parents)
        for a, b in itertools.combinations(members(into), 2)
        if (a, b) not in adjacent and (b, a) not in adjacent
    }


def all_acyclic_graphs(count):
    pairs = list(itertools.combinations(range(count), 2))
    for ends in itertools.product((None, False, True), repeat=len(pairs)):
        parents = [0] * count
        for (a, b), turned in zip(pairs, ends, strict=True):
            if turned is not None:
                parents[a if turned else b] |= 1 << (b if turned else a)
        order = next(
            (
                order
                for order in itertools.permutations(range(count))
                if all(
                    not parents[node] & ~sum(1 << earlier for earlier in order[:place])
                    for place, node in enumerate(order)
                )
            ),
            None,
        )
        if order is not None:
            yield list(order), parents


def test_the_classes_of_all_graphs_of_four_nodes_are_right():
    classes = {}
    for order, parents in all_acyclic_graphs(4):
        skeleton = frozenset(frozenset((a, b)) for b in range(4) for a in members(parents[b]))
        classes.setdefault((skeleton, frozenset(colliders(parents))), []).append((order, parents))
    assert sum(map(len, classes.values())) == 543
    assert len(classes) == 185
    for alike in classes.values():
        together = [sum(1 << a for a in range(4) if all(p[b] >> a & 1 for _, p in alike))
                    for b in range(4)]  # fmt: skip
        for order, parents in alike:
            found = equivalence_class(order, parents)
            assert found.parents == together
            assert fields(completed(found)) == fields(found)
            directed = [(a, b) for b in range(4) for a in members(parents[b])]
            assert fields(completed(pdag(4, directed))) == fields(found)


def test_an_extension_keeps_what_is_directed_and_adds_no_collider():
    order, parents = consistent_extension(pdag(4, [(0, 1)], [(1, 2), (2, 3)]))
    assert parents == [0, 1, 2, 4]
    assert order == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("directed", "undirected"),
    [([(0, 1), (1, 2), (2, 0)], []), ([], [(0, 1), (1, 2), (2, 3), (3, 0)])],
)
def test_a_graph_that_stands_for_no_acyclic_one_is_refused(directed, undirected):
    with pytest.raises(ValueError, match="no acyclic graph"):
        completed(pdag(4, directed, undirected))


def test_paths_go_against_no_arrow_and_enter_nothing_avoided():
    graph = pdag(5, [(0, 1), (3, 2)], [(1, 2), (3, 4)])
    assert list(members(graph.reached(0))) == [0, 1, 2]
    assert list(members(graph.reached(0, 1 << 1))) == [0]
    assert list(members(graph.reached(4))) == [1, 2, 3, 4]
    assert graph.reached(4, 0, {2: graph.reached(2)}) == graph.reached(4)


def test_cliques_are_sets_of_which_all_are_adjacent():
    graph = pdag(4, [(0, 1)], [(1, 2), (0, 2), (2, 3)])
    assert graph.is_clique(0b0111)
    assert not graph.is_clique(0b1110)
    assert graph.is_clique(0)
    assert graph.is_clique(0b1000)


def test_marks_are_those_of_a_causal_graph():
    marks = pdag(3, [(0, 1)], [(1, 2)]).to_marks()
    none, tail, arrow = Mark.NONE, Mark.TAIL, Mark.ARROW
    expected = [[none, arrow, none], [tail, none, tail], [none, tail, none]]
    assert np.array_equal(marks, expected)
