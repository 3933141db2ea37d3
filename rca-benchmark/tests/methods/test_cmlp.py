import numpy as np
import pandas as pd
import pytest

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method


def rank(observation, seed=0):
    return get_method("cmlp_pagerank").function(observation, np.random.default_rng(seed)).indicators


@pytest.mark.parametrize("seed", range(3))
def test_what_precedes_comes_first(make_observation, seed):
    """b follows c by a row, and a follows b."""
    noise = np.random.default_rng(seed).normal(size=(300, 3))
    noise[1:, 1] += 2 * noise[:-1, 2]
    noise[1:, 0] += 2 * noise[:-1, 1]
    metrics = pd.DataFrame(noise, columns=["a_x", "b_x", "c_x"])
    observation = make_observation(metrics, before=200, services=("a", "b", "c"))
    assert rank(observation, seed) == ("c_x", "b_x", "a_x")


def test_one_indicator_is_refused(make_observation):
    metrics = pd.DataFrame({"a_x": np.arange(30.0) ** 2})
    with pytest.raises(MethodFailed, match="two indicators"):
        rank(make_observation(metrics, before=20, services=("a",)))
