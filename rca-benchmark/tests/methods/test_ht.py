import numpy as np
import pandas as pd
import pytest

from rca_benchmark.methods import get_method
from rca_benchmark.methods.ht import ht, scores_given_all_others
from rca_benchmark.methods.regression_test import standardised
from rca_benchmark.preprocess import split_windows


def test_scores_are_the_residuals_of_the_regressions_on_all_others():
    """With many rows nothing is shrunk, and each score is that of a least squares fit."""
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    mixing = np.eye(5) + np.triu(rng.normal(size=(5, 5)), 1) * 0.5
    normal, anomalous = rng.normal(size=(50_000, 5)) @ mixing, rng.normal(size=(9, 5)) @ mixing + 2
    center, scale = normal.mean(axis=0), normal.std(axis=0)
    normal, anomalous = (normal - center) / scale, (anomalous - center) / scale
    found = scores_given_all_others(normal, anomalous)
    for column in range(5):
        others = np.arange(5) != column
        fit = LinearRegression().fit(normal[:, others], normal[:, column])
        before = normal[:, column] - fit.predict(normal[:, others])
        after = anomalous[:, column] - fit.predict(anomalous[:, others])
        assert found[column] == pytest.approx(np.abs(after).max() / before.std(), rel=0.01)


def test_an_effect_is_not_to_blame_where_max_z_blames_it(make_observation):
    """a -> b with b less noisy relative to its normal spread: b moves further in every unit."""
    rng = np.random.default_rng(0)
    cause, noise, other = rng.normal(size=(3, 300))
    shift = np.repeat([0.0, 6.0], [200, 100])
    columns = {"b_x": cause + shift, "c_x": other}
    columns["a_x"] = columns["b_x"] - 0.9 * other + 0.1 * noise  # an effect of both
    columns["c_x"] = other
    observation = make_observation(pd.DataFrame(columns), before=200, services=tuple("abc"))
    scores = scores_given_all_others(*standardised(split_windows(observation)))
    found = dict(zip(split_windows(observation).indicators, scores, strict=True))
    assert found["a_x"] < found["b_x"]
    assert ht(observation, np.random.default_rng(0)).indicators[0] == "b_x"


def test_what_does_not_vary_before_the_fault_has_its_plain_score(make_observation):
    observation = make_observation()
    observation.metrics.loc[:39, "ray-head_cpu"] = 7.0
    windows = split_windows(observation)
    normal, anomalous = standardised(windows)
    place = windows.indicators.index("ray-head_cpu")
    found = scores_given_all_others(normal, anomalous)
    assert found[place] == np.abs(anomalous[:, place]).max()
    others = np.arange(len(found)) != place
    np.testing.assert_allclose(
        found[others], scores_given_all_others(normal[:, others], anomalous[:, others])
    )


def test_independent_indicators_have_nearly_their_plain_scores(make_observation):
    """Of one indicator alone nothing is explained: then it is max_z."""
    metrics = make_observation().metrics[["ray-head_cpu"]]
    observation = make_observation(metrics)
    normal, anomalous = standardised(split_windows(observation))
    assert scores_given_all_others(normal, anomalous) == pytest.approx(np.abs(anomalous).max())


def test_more_indicators_than_rows_are_answered(make_observation):
    rng = np.random.default_rng(0)
    names = [f"s{number}_x" for number in range(200)]
    metrics = pd.DataFrame(rng.normal(size=(31, 200)), columns=names)
    metrics.loc[20:, "s17_x"] += 30
    services = tuple(f"s{number}" for number in range(200))
    observation = make_observation(metrics, before=20, services=services)
    assert get_method("ht").function(observation, rng).services[0] == "s17"
