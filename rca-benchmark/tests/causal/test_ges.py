import contextlib
import itertools

import numpy as np
import pytest

from rca_benchmark.causal import ges as search
from rca_benchmark.causal.cpdag import Pdag, completed, consistent_extension, members
from rca_benchmark.causal.ges import ges
from rca_benchmark.causal.graph import Mark


def correlations_of(values):
    matrix = np.corrcoef(values.T)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def found_in(values):
    names = tuple(f"x{place}" for place in range(values.shape[1]))
    return ges(names, correlations_of(values), len(values))


def bic(marks, values):
    """The BIC of the acyclic graphs that a class stands for, by least squares."""
    graph = Pdag.without_edges(len(marks))
    for i, j in zip(*np.nonzero(marks), strict=True):
        if marks[i, j] == Mark.ARROW:
            graph.add(int(i), int(j))
        elif marks[j, i] == Mark.TAIL:
            graph.neighbours[i] |= 1 << int(j)
    _, parents = consistent_extension(graph)
    centered = values - values.mean(axis=0)
    total = 0.0
    for node, into in enumerate(parents):
        columns = centered[:, list(members(into))]
        fit = columns @ np.linalg.lstsq(columns, centered[:, node], rcond=None)[0]
        variance = ((centered[:, node] - fit) ** 2).mean()
        total -= len(values) / 2 * np.log(variance) + np.log(len(values)) / 2 * columns.shape[1]
    return total


@pytest.mark.parametrize("seed", range(40))
def test_the_class_is_that_of_causal_learn(simulate, learned_marks, seed):
    from causallearn.search.ScoreBased.GES import ges as expected

    rng = np.random.default_rng(seed)
    values = simulate(rng, 4 + seed % 5, (60, 200, 1000)[seed % 3], (1.5, 2.5, 3.5)[seed // 3 % 3])
    marks = learned_marks(expected(values, score_func="local_score_BIC")["G"])
    found = found_in(values).marks
    assert np.array_equal(found, marks)
    assert bic(found, values) >= bic(marks, values) - 1e-6


@pytest.mark.parametrize("seed", range(30))
def test_exact_correlations_give_the_class_of_the_truth(make_linear_model, seed):
    coefficients = make_linear_model(np.random.default_rng(seed), 8, 2.5)
    total = np.linalg.inv(np.eye(8) - coefficients)
    covariance = total.T @ total
    size = np.sqrt(covariance.diagonal())
    truth = Pdag.without_edges(8)
    for tail, head in np.argwhere(coefficients).tolist():
        truth.add(tail, head)
    found = ges(tuple("abcdefgh"), covariance / np.outer(size, size), 10**9)
    assert np.array_equal(found.marks, completed(truth).to_marks())


def test_no_single_edge_can_be_inserted_or_deleted_for_a_better_score(simulate):
    values = simulate(np.random.default_rng(5), 6, 300, 2.5)
    marks = found_in(values).marks
    best = bic(marks, values)
    for i, j in itertools.permutations(range(6), 2):
        changed = marks.copy()
        if marks[i, j] == Mark.NONE:
            changed[i, j], changed[j, i] = Mark.ARROW, Mark.TAIL
        else:
            changed[i, j] = changed[j, i] = Mark.NONE
        with contextlib.suppress(ValueError):  # the change closes a cycle or makes a collider
            assert bic(changed, values) < best


@pytest.mark.parametrize("seed", range(6))
def test_operators_that_are_kept_are_those_that_would_be_found_anew(simulate, monkeypatch, seed):
    values = simulate(np.random.default_rng(seed), 15, 150, 4)
    found = found_in(values).marks
    monkeypatch.setattr(search, "_touched", lambda _before, after, _step: range(len(after.parents)))
    assert np.array_equal(found, found_in(values).marks)


def test_the_order_of_the_variables_plays_no_part(simulate):
    rng = np.random.default_rng(8)
    values = simulate(rng, 12, 400, 3)
    order = rng.permutation(12)
    marks = found_in(values).marks
    assert np.array_equal(found_in(values[:, order]).marks, marks[np.ix_(order, order)])


def test_the_backward_phase_removes_what_the_forward_phase_put_in_too_much(simulate, monkeypatch):
    both = [found_in(simulate(np.random.default_rng(seed), 12, 300, 4)).edges for seed in range(8)]
    monkeypatch.setattr(search, "_deletions", lambda *_: [])
    one = [found_in(simulate(np.random.default_rng(seed), 12, 300, 4)).edges for seed in range(8)]
    assert all(few <= many for few, many in zip(both, one, strict=True))
    assert sum(both) < sum(one)


def test_noise_has_no_edge():
    assert found_in(np.random.default_rng(1).normal(size=(5000, 5))).edges == 0


def test_a_nearly_determined_variable_adds_no_evidence_beyond_measure():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 200))
    values = np.column_stack([a, b, a + b, c])
    marks = found_in(values).marks
    assert not (marks[3] != Mark.NONE).any()
    assert (marks[2, :2] != Mark.NONE).all()


def test_one_common_cause_of_all_ends_within_the_bound_on_cliques():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(400, 16)) + 3 * rng.normal(size=(400, 1))
    assert found_in(values).edges > 30
