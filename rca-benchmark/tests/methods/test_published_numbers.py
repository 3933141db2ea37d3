"""Accuracy on 20 real faults of a Sock Shop beside what the literature gives on all 50 of them."""

import numpy as np
import pytest

from rca_benchmark.dataset import find_cases, read_case
from rca_benchmark.methods import get_method
from rca_benchmark.preprocess import Preparation, prepare, without_inject_time

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sock_shop(fault_data):
    """(fault, target, observation for methods that are told the inject time, for the others)."""
    cases = [read_case(ref) for ref in find_cases(fault_data / "rcd-ss")]
    found = []
    for case in cases:
        told = prepare(case.observation, Preparation()).observation
        found.append((case.truth.fault, case.truth.service, told, without_inject_time(told)))
    return found


def average_at_5(name, cases, seed=0):
    """Service-level Avg@5 by fault."""
    method = get_method(name)
    hits = {}
    for number, (fault, target, told, untold) in enumerate(cases):
        seen = told if method.uses_inject_time else untold
        rng = np.random.default_rng([seed, number])
        services = method.function(seen, rng).services
        rank = services.index(target) + 1 if target in services else np.inf
        hits.setdefault(fault, []).append(np.mean([rank <= k for k in range(1, 6)]))
    return {fault: float(np.mean(found)) for fault, found in hits.items()}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("baro", 0.97),  # literature: .99, .99
        ("nsigma", 0.97),  # .98, .99
        ("llm_serving", 0.97),
        ("circa", 0.70),  # .70, .80
        ("microcause", 0.55),  # .40, .55
    ],
)
def test_the_literature_is_reached(sock_shop, name, least):
    assert np.mean(list(average_at_5(name, sock_shop).values())) >= least


def test_rcd_over_seeds_is_close_to_the_literature(sock_shop):
    """.63 and .66 are published; its card says why the mean over seeds is lower here."""
    means = [np.mean(list(average_at_5("rcd", sock_shop, seed).values())) for seed in range(5)]
    assert np.mean(means) >= 0.50
    assert np.std(means) > 0.01
