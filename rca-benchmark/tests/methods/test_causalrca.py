import numpy as np
import pandas as pd
import pytest

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import causalrca as module
from rca_benchmark.methods import get_method


def rank(observation):
    return get_method("causalrca").function(observation, np.random.default_rng(0)).indicators


@pytest.fixture
def three(make_observation):
    rng = np.random.default_rng(0)
    metrics = pd.DataFrame({name: rng.normal(size=30) for name in ("a_x", "b_x", "c_x")})
    return make_observation(metrics, before=20, services=("a", "b", "c"))


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_causes_come_first_whether_or_not_an_edge_is_strong(monkeypatch, three, scale):
    """c -> b -> a."""
    weights = scale * np.array([[0, 0, 0], [0.5, 0, 0], [0, -0.9, 0]])
    monkeypatch.setattr(module, "learn_adjacency", lambda _values, _rng: weights)
    assert rank(three) == ("c_x", "b_x", "a_x")


def test_a_weak_edge_is_left_out(monkeypatch, three):
    weights = np.array([[0, 0.29, 0], [0, 0, 0], [0, 0.31, 0]])
    monkeypatch.setattr(module, "learn_adjacency", lambda _values, _rng: weights)
    assert rank(three) == ("c_x", "a_x", "b_x")


def test_one_indicator_is_refused(make_observation):
    metrics = pd.DataFrame({"a_x": np.arange(30.0) ** 2})
    with pytest.raises(MethodFailed, match="two indicators"):
        rank(make_observation(metrics, before=20, services=("a",)))
