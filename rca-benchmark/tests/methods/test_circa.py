import numpy as np
import pandas as pd
import pytest

from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.methods import circa as module
from rca_benchmark.methods.circa import causes_among, circa
from rca_benchmark.methods.regression_test import (
    adjust_for_descendants,
    anomalous_from,
    residual_scores,
    standardised,
)
from rca_benchmark.preprocess import split_windows

SERVICES = tuple("abcde")
NAMES = ("a_cpu_x", "b_cpu_x", "c_cpu_y")


def collider(make_observation, seed=0):
    """a -> c <- b, in names of two underscores; the mechanism of a shifts."""
    rng = np.random.default_rng(seed)
    first, second, noise = rng.normal(size=(3, 400))
    first[300:] += 10
    columns = dict(zip(NAMES, (first, second, 3 * first + second + 0.1 * noise), strict=True))
    columns |= {"d_x": rng.normal(size=400), "e_x": rng.normal(size=400)}
    return make_observation(pd.DataFrame(columns), before=300, services=SERVICES)


def matrix(*edges, count=5):
    causes = np.zeros((count, count), dtype=bool)
    for cause, effect in edges:
        causes[cause, effect] = True
    return causes


def test_an_effect_is_explained_by_its_causes_and_not_the_other_way(make_observation):
    """Fails where the graph is turned round: then a is explained by c, and c by nothing."""
    windows = standardised(split_windows(collider(make_observation)))
    right = residual_scores(*windows, matrix((0, 2), (1, 2)))
    turned = residual_scores(*windows, matrix((2, 0), (2, 1)))
    assert right[0] > 8
    assert right[2] < 5
    assert turned[2] > 8


def test_the_root_cause_is_first_and_its_effect_is_not_second(make_observation):
    observation = collider(make_observation)
    ranking = circa(observation, np.random.default_rng(0))
    assert ranking.indicators[0] == "a_cpu_x"
    assert set(ranking.indicators) == set(observation.indicators)  # the isolated ones, too


def test_the_graph_is_read_from_cause_to_effect(make_observation, monkeypatch):
    """With PC's graph given: what it says to be the effect is not to blame."""
    observation = collider(make_observation)

    def graph_of(*edges):
        names = tuple(observation.indicators)
        return lambda *_: CausalGraph.from_causes(names, matrix(*edges))

    monkeypatch.setattr(module, "adjust_for_descendants", lambda scores, *_: scores)
    monkeypatch.setattr(module, "pc_graph", graph_of((0, 2), (1, 2)))
    assert circa(observation, np.random.default_rng(0)).indicators[0] == "a_cpu_x"
    monkeypatch.setattr(module, "pc_graph", graph_of((2, 0), (2, 1)))
    assert circa(observation, np.random.default_rng(0)).indicators[0] == "c_cpu_y"


def test_only_directed_edges_between_known_indicators_are_causes():
    causes = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=bool)  # p -> q <-> r
    graph = CausalGraph.from_causes(("p_x", "q_x", "r_x"), causes)
    found = causes_among(["r_x", "new_x", "q_x", "p_x"], graph)
    assert np.argwhere(found).tolist() == [[3, 2]]


def test_residuals_are_those_of_scikit_learn(make_observation):
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import StandardScaler

    windows = split_windows(collider(make_observation, seed=1))
    before, after = windows.normal.to_numpy(), windows.anomalous.to_numpy()
    fit = LinearRegression().fit(before[:, :2], before[:, 2])
    errors = [part[:, 2] - fit.predict(part[:, :2]) for part in (before, after)]
    scaler = StandardScaler().fit(errors[0][:, None])
    expected = np.abs(scaler.transform(errors[1][:, None])).max()
    found = residual_scores(*standardised(windows), matrix((0, 2), (1, 2)))[2]
    assert found == pytest.approx(expected, rel=1e-6)


def test_without_causes_the_score_is_the_largest_standard_score(make_observation):
    normal, anomalous = standardised(split_windows(collider(make_observation)))
    found = residual_scores(normal, anomalous, matrix())
    np.testing.assert_array_equal(found, np.abs(anomalous).max(axis=0))


def test_more_causes_than_rows_leave_the_strongest():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=(40, 50)), rng.normal(size=(5, 50))
    normal[:, 0] = normal[:, 7] + 0.01 * rng.normal(size=40)
    anomalous[:, 0] = anomalous[:, 7] + 0.01 * rng.normal(size=5)
    causes = np.zeros((50, 50), dtype=bool)
    causes[1:, 0] = True
    assert residual_scores(normal, anomalous, causes)[0] < 6


def test_a_relation_without_error_is_no_division_by_zero():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=(40, 2)), rng.normal(size=(5, 2))
    normal[:, 1], anomalous[:, 1] = normal[:, 0], anomalous[:, 0] + 1
    found = residual_scores(normal, anomalous, matrix((0, 1), count=2))
    assert found[1] == pytest.approx(1e4)  # in units of the least residual that counts


def test_rows_with_gaps_in_an_indicator_or_its_causes_are_left_out():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=(60, 2)), rng.normal(size=(6, 2))
    normal[:, 1] += normal[:, 0]
    whole = residual_scores(normal[10:], anomalous[:4], matrix((0, 1), count=2))
    normal[:5, 0], normal[5:10, 1] = np.nan, np.nan
    anomalous[4, 0], anomalous[5, 1] = np.nan, np.nan
    gappy = residual_scores(normal, anomalous, matrix((0, 1), count=2))
    assert gappy[1] == pytest.approx(whole[1])


def test_an_anomalous_cause_is_lifted_above_its_effect():
    # 0 -> 1 -> 2: 1 is quiet, so 0 is lifted by 2 through it; 1 itself is not lifted.
    scores = np.array([4.0, 1.0, 9.0, 5.0])
    adjusted = adjust_for_descendants(scores, matrix((0, 1), (1, 2), count=4), 3.0)
    assert adjusted.tolist() == [13.0, 1.0, 9.0, 5.0]


def test_an_anomalous_effect_hides_what_it_causes():
    scores = np.array([4.0, 5.0, 9.0])
    adjusted = adjust_for_descendants(scores, matrix((0, 1), (1, 2), count=3), 3.0)
    assert adjusted.tolist() == [9.0, 14.0, 9.0]


def test_a_cycle_is_adjusted_too():
    scores = np.array([4.0, 1.0, 5.0])
    adjusted = adjust_for_descendants(scores, matrix((0, 1), (1, 0), (1, 2), count=3), 3.0)
    assert adjusted.tolist() == [9.0, 1.0, 5.0]


def test_a_maximum_of_noise_is_anomalous_as_rarely_as_one_row():
    assert anomalous_from(1) == pytest.approx(3.0)
    highest = np.abs(np.random.default_rng(0).normal(size=(20_000, 100))).max(axis=1)
    assert (highest > anomalous_from(100)).mean() == pytest.approx(0.0027, abs=0.0012)
