import numpy as np
import pandas as pd
import pytest

from rca_benchmark.methods.e_diagnosis import e_diagnosis
from rca_benchmark.methods.energy_test import PERMUTATIONS, energy_tests


def mean_distance(first, second):
    return np.abs(first[:, None] - second[None, :]).mean()


@pytest.mark.parametrize("seed", range(20))
def test_the_statistic_is_that_of_its_definition_and_of_scipy(seed):
    from scipy.stats import energy_distance

    rng = np.random.default_rng(seed)
    normal, anomalous = rng.normal(size=(40, 3)), rng.normal(0.3, 1.5, size=(25, 3))
    normal[3:9, 1], anomalous[:, 2] = np.nan, np.round(anomalous[:, 2])
    found, _ = energy_tests(normal * 1e9, anomalous * 1e9, rng)
    for column in range(3):
        first, second = normal[:, column], anomalous[:, column]
        first = first[~np.isnan(first)]
        between = 2 * mean_distance(first, second)
        distance = between - mean_distance(first, first) - mean_distance(second, second)
        assert found[column] == pytest.approx(distance / between, rel=1e-9)
        assert distance == pytest.approx(energy_distance(first, second) ** 2, rel=1e-9)


def test_p_values_of_equal_distributions_are_uniform():
    rng = np.random.default_rng(0)
    _, p_values = energy_tests(rng.normal(size=(30, 2000)), rng.normal(size=(20, 2000)), rng)
    for level in (0.05, 0.25, 0.5, 0.75):
        # divisions are shared by all columns, which makes the share vary by more than its own sd
        assert (p_values <= level).mean() == pytest.approx(level, abs=0.05)


def test_p_values_are_those_of_all_divisions():
    """Of 4 + 3 values there are 35 divisions, which random ones come near to."""
    from itertools import combinations

    normal, anomalous = np.array([1.0, 2, 4, 9]), np.array([5.0, 6, 10])
    pooled = np.concatenate([normal, anomalous])

    def distance(chosen):
        inside = np.isin(np.arange(7), chosen)
        first, second = pooled[inside], pooled[~inside]
        own = mean_distance(first, first) + mean_distance(second, second)
        return 2 * mean_distance(first, second) - own

    every = [distance(chosen) for chosen in combinations(range(7), 4)]
    exact = np.mean([one >= distance(range(4)) - 1e-12 for one in every])
    found = [
        energy_tests(normal[:, None], anomalous[:, None], np.random.default_rng(seed))[1][0]
        for seed in range(40)
    ]
    assert np.mean(found) == pytest.approx(exact, abs=0.02)


def test_a_change_of_spread_is_found_as_well_as_one_of_the_mean(make_observation):
    rng = np.random.default_rng(0)
    columns = {f"{name}_x": rng.normal(size=200) for name in "abcd"}
    columns["c_x"][120:] *= 5
    columns["d_x"][120:] += 2
    observation = make_observation(pd.DataFrame(columns), before=120, services=tuple("abcd"))
    ranking = e_diagnosis(observation, np.random.default_rng(0))
    assert set(ranking.services[:2]) == {"c", "d"}


def test_all_indicators_are_ranked_and_equal_p_values_go_by_the_statistic(make_observation):
    rng = np.random.default_rng(0)
    columns = {f"{name}_x": rng.normal(size=90) for name in "abcd"}
    columns["b_x"][60:] += 30
    columns["c_x"][60:] += 5
    observation = make_observation(pd.DataFrame(columns), before=60, services=tuple("abcd"))
    ranking = e_diagnosis(observation, np.random.default_rng(0))
    assert ranking.services[:2] == ("b", "c")  # both at the least p-value there is
    assert len(ranking.services) == 4


def test_the_least_p_value_is_one_in_as_many_as_there_are_divisions():
    normal, anomalous = np.zeros((50, 1)), np.ones((50, 1))
    statistic, p_value = energy_tests(normal, anomalous, np.random.default_rng(0))
    assert statistic == pytest.approx([1.0])
    assert p_value == pytest.approx([1 / (PERMUTATIONS + 1)])
