"""Simulated data of known causes, and causal-learn as an oracle with its defects repaired."""

import numpy as np
import pytest

from rca_benchmark.causal.graph import Mark


def linear_model(rng, nodes, degree):
    """Random coefficients: ``[i, j]`` is the effect of i on j; no cycle."""
    edges = np.triu(rng.random((nodes, nodes)) < degree / (nodes - 1), 1)
    sizes = rng.uniform(0.3, 1.2, (nodes, nodes)) * rng.choice([-1, 1], (nodes, nodes))
    order = rng.permutation(nodes)
    return (edges * sizes)[np.ix_(order, order)]


def samples(rng, coefficients, rows):
    """Rows x N Gaussian values of a linear model."""
    noise = rng.normal(size=(rows, len(coefficients)))
    return noise @ np.linalg.inv(np.eye(len(coefficients)) - coefficients)


def marks_of(graph):
    """Marks of a graph of causal-learn."""
    theirs = graph.graph.T
    marks = np.zeros(theirs.shape, dtype=np.int8)
    for value, mark in ((-1, Mark.TAIL), (1, Mark.ARROW), (2, Mark.CIRCLE)):
        marks[theirs == value] = mark
    return marks


@pytest.fixture
def simulate():
    """Values of a random linear model: generator, nodes, rows, mean degree."""

    def make(rng, nodes, rows, degree):
        return samples(rng, linear_model(rng, nodes, degree), rows)

    return make


@pytest.fixture
def make_linear_model():
    return linear_model


@pytest.fixture
def learned_marks():
    return marks_of


@pytest.fixture
def all_ancestors(monkeypatch):
    """Repairs causal-learn: a new edge makes all above its tail ancestors of all below its head.

    As published it forgets those that are neither the tail nor the head, and so closes cycles.
    """
    from causallearn.graph.GeneralGraph import GeneralGraph

    def adjust_dpath(graph, tail, head):
        graph.dpath[head, tail] = 1
        below = np.union1d(np.flatnonzero(graph.dpath[:, head]), head)
        above = np.union1d(np.flatnonzero(graph.dpath[tail]), tail)
        graph.dpath[np.ix_(below, above)] = 1

    monkeypatch.setattr(GeneralGraph, "adjust_dpath", adjust_dpath)


@pytest.fixture
def real_series(fault_data):
    """The 20 real cases of one data set, complete and standardised."""
    from rca_benchmark.causal.series import complete_series
    from rca_benchmark.dataset import find_cases, read_case
    from rca_benchmark.preprocess import Preparation, prepare

    cases = [read_case(found) for found in find_cases(fault_data / "rcd-ss")]
    prepared = [prepare(case.observation, Preparation()).observation for case in cases]
    return [complete_series(observation.metrics) for observation in prepared]
