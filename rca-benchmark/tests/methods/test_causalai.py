import numpy as np
import pandas as pd

from rca_benchmark.methods.causalai import causalai


def answer(observation):
    return causalai(observation, np.random.default_rng(0)).indicators


def chain(make_observation, seed):
    rng = np.random.default_rng(seed)
    step = np.repeat([0.0, 4.0], [200, 100])
    cause = step + rng.normal(size=300)
    effect = cause + rng.normal(size=300)
    columns = {"a_x": effect + rng.normal(size=300), "b_x": effect, "c_x": cause}
    columns |= {f"{name}_x": rng.normal(size=300) for name in "de"}
    return make_observation(pd.DataFrame(columns), before=200, services=tuple("abcde"))


def test_what_changes_by_itself_is_before_what_follows_from_it(make_observation):
    for seed in range(10):
        ranking = answer(chain(make_observation, seed))
        assert ranking[0] == "c_x"
        assert set(ranking[1:3]) == {"a_x", "b_x"}
        assert len(ranking) == 5


def test_the_inject_time_plays_no_part(make_observation):
    observation = chain(make_observation, 0)
    later = make_observation(
        observation.metrics.drop(columns="time"), before=250, services=tuple("abcde")
    )
    untold = make_observation(
        observation.metrics.drop(columns="time"), inject_time_ns=None, services=tuple("abcde")
    )
    assert answer(observation) == answer(later) == answer(untold)


def test_the_order_of_rows_is_what_is_tested(make_observation):
    """With rows shuffled nothing depends on time, and the step is found no more."""
    observation = chain(make_observation, 0)
    metrics = observation.metrics.drop(columns="time")
    rows = np.random.default_rng(0).permutation(len(metrics))
    shuffled = make_observation(
        metrics.iloc[rows].reset_index(drop=True), before=200, services=tuple("abcde")
    )
    assert answer(shuffled) != answer(observation)
