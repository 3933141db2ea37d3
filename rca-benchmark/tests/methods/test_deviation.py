"""The scores of BARO and N-sigma are those of scikit-learn's scalers."""

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.dataset import find_cases, read_case
from rca_benchmark.methods import get_method
from rca_benchmark.methods.deviation import highest_deviation, standard_scores
from rca_benchmark.preprocess import Preparation, prepare, split_windows


def scaled(scaler, windows):
    """Both windows by scikit-learn: its largest scores, and which columns have a spread."""
    fitted = scaler.fit(windows.normal.to_numpy())
    highest = np.nanmax(fitted.transform(windows.anomalous.to_numpy()), axis=0)
    return highest, fitted.scale_ != 1.0


def robust(windows):
    low, center, high = np.nanquantile(windows.normal.to_numpy(), [0.25, 0.5, 0.75], axis=0)
    return np.array(list(highest_deviation(windows, center, high - low).values()))


def standard(windows):
    return np.nanmax(standard_scores(windows), axis=0)


def compare(windows):
    from sklearn.preprocessing import RobustScaler, StandardScaler

    compared = 0
    for scaler, ours in ((RobustScaler(), robust(windows)), (StandardScaler(), standard(windows))):
        theirs, has_spread = scaled(scaler, windows)
        np.testing.assert_allclose(ours[has_spread], theirs[has_spread], rtol=1e-9, atol=1e-9)
        compared += int(has_spread.sum())
    return compared


@pytest.mark.parametrize("seed", range(10))
def test_scores_are_those_of_the_scalers_on_random_data(make_observation, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(60, 20)) * 10.0 ** rng.integers(-3, 9, 20) + rng.normal(size=20)
    values[rng.random(values.shape) < 0.05] = np.nan
    metrics = pd.DataFrame(values, columns=[f"s{column}_x" for column in range(20)])
    services = tuple(f"s{column}" for column in range(20))
    assert compare(split_windows(make_observation(metrics, services=services))) == 40


@pytest.mark.parametrize("name", ["baro", "nsigma"])
def test_the_ranking_is_that_of_the_scaler(make_observation, name):
    from sklearn.preprocessing import RobustScaler, StandardScaler

    observation = make_observation()
    windows = split_windows(observation)
    scaler = {"baro": RobustScaler, "nsigma": StandardScaler}[name]()
    order = np.argsort(-scaled(scaler, windows)[0])
    ranking = get_method(name).function(observation, np.random.default_rng(0))
    assert list(ranking.indicators) == [windows.indicators[place] for place in order]


def test_scores_are_those_of_the_scalers_on_real_faults(fault_data):
    compared = 0
    for ref in find_cases(fault_data / "rcd-ss"):
        prepared = prepare(read_case(ref).observation, Preparation())
        compared += compare(split_windows(prepared.observation))
    assert compared > 1000
