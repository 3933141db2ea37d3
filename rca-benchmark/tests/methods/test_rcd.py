import numpy as np
import pandas as pd
import pytest

import rca_benchmark.methods.rcd as module
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.rcd import rcd


def test_independence_is_tested_of_the_fault(make_observation, monkeypatch):
    """One side of every test is the F-node: 0 before the inject time, 1 from it on."""
    real, targets = module.chi_square, set()

    def spy(first, second, given):
        targets.add(tuple(first.tolist()))
        return real(first, second, given)

    monkeypatch.setattr(module, "chi_square", spy)
    rcd(make_observation(before=40, after=20), np.random.default_rng(0))
    assert targets == {(0,) * 40 + (1,) * 20}


def test_an_effect_is_behind_its_cause(make_observation):
    rng = np.random.default_rng(0)
    cause = rng.normal(size=600)
    cause[400:] += 3
    columns = {"a_effect": cause + rng.normal(size=600), "b_cause": cause}
    columns |= {f"c_{number}": rng.normal(size=600) for number in range(8)}
    observation = make_observation(pd.DataFrame(columns), before=400, services=("a", "b", "c"))
    for seed in range(10):
        ranking = rcd(observation, np.random.default_rng(seed))
        assert ranking.indicators[0] == "b_cause"
        assert len(ranking.indicators) == 10


def test_chance_decides_between_indicators_that_tell_the_windows_apart(make_observation):
    level = np.repeat([0.0, 9.0], [40, 20])
    rng = np.random.default_rng(0)
    columns = {f"{name}_x": level + rng.uniform(0, 1, 60) for name in "abcd"}
    observation = make_observation(pd.DataFrame(columns), services=tuple("abcd"))
    first = [rcd(observation, np.random.default_rng(seed)).services[0] for seed in range(40)]
    assert set(first) == set("abcd")


def test_what_hardly_varies_comes_last_however_well_it_tells_the_windows_apart(make_observation):
    rng = np.random.default_rng(0)
    fault = np.repeat([0.0, 1.0], [200, 100])
    columns = {
        "a_mem": 3e8 + 1e6 * fault + rng.uniform(0, 1e5, 300),
        "b_cpu": 3 * fault + rng.normal(20, 1, 300),
        "c_cpu": rng.normal(20, 1, 300),
    }
    observation = make_observation(pd.DataFrame(columns), before=200, services=tuple("abc"))
    for seed in range(5):
        assert rcd(observation, np.random.default_rng(seed)).services == ("b", "c", "a")


def test_there_must_be_an_inject_time(make_observation):
    with pytest.raises(MethodFailed, match="no inject time"):
        rcd(make_observation(inject_time_ns=None), np.random.default_rng(0))
