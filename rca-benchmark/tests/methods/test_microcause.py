import dataclasses

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method
from rca_benchmark.preprocess import Preparation, prepare

OPTIONS = {"before": 300, "sli": "c_x", "services": tuple("abcd")}


def run(observation):
    return get_method("microcause").function(observation, np.random.default_rng(0))


def lagged_chain(seed=0, rows=400):
    """What happens to a comes to b one row later, to c two rows later; d is apart."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4))
    for row in range(1, rows):
        values[row, 1] += 0.8 * values[row - 1, 0]
        values[row, 2] += 0.8 * values[row - 1, 1]
    return pd.DataFrame(values, columns=["a_x", "b_x", "c_x", "d_x"])


def test_the_walk_goes_from_the_sli_to_its_causes(make_observation):
    metrics = lagged_chain()
    metrics.iloc[:, 3] = np.roll(metrics["c_x"], 1) + 0.5 * metrics["d_x"]  # an effect of c
    services = run(make_observation(metrics, **OPTIONS)).services
    assert services.index("b") < services.index("d")
    assert services.index("a") < services.index("d")


@pytest.mark.parametrize("culprit", ["a_x", "b_x"])
@pytest.mark.parametrize("direction", [1, -1])
def test_what_is_anomalous_comes_first(make_observation, culprit, direction):
    metrics = lagged_chain()
    metrics.loc[300:, culprit] += 40 * direction
    assert run(make_observation(metrics, **OPTIONS)).indicators[0] == culprit


def test_the_inject_time_decides_what_is_normal(make_observation):
    metrics = lagged_chain()
    metrics.loc[100:200, "d_x"] += 30  # over before the fault
    metrics.loc[300:, "a_x"] += 10
    observation = make_observation(metrics, **OPTIONS)
    assert run(observation).services == ("a", "b", "d", "c")
    early = make_observation(metrics, **(OPTIONS | {"before": 90}))
    assert run(early).services[:2] == ("a", "d")


def test_scale_and_offset_play_no_part(make_observation):
    metrics = lagged_chain()
    changed = make_observation(metrics * [1e6, 1e-6, -3, 1] + 100, **OPTIONS)
    assert run(changed) == run(make_observation(metrics, **OPTIONS))


def test_an_indicator_that_never_moved_before_is_finite_and_first(make_observation):
    metrics = lagged_chain()
    metrics["d_x"] = (np.arange(400) > 310) * 1.0
    assert run(make_observation(metrics, **OPTIONS)).services[0] == "d"


def test_the_walk_is_shared_between_inject_times(make_observation):
    prepared = prepare(make_observation(lagged_chain(), **OPTIONS), Preparation()).observation
    first = run(prepared)
    assert run(prepared) == first
    assert run(dataclasses.replace(prepared)) == first


def test_without_an_inject_time_there_is_no_answer(make_observation):
    with pytest.raises(MethodFailed, match="no inject time"):
        run(make_observation(lagged_chain(), **(OPTIONS | {"inject_time_ns": None})))


def test_few_rows_of_many_indicators_are_answered(make_observation):
    values = np.random.default_rng(0).normal(size=(31, 200))
    names = [f"s{number // 4}_m{number % 4}" for number in range(200)]
    services = tuple(dict.fromkeys(name.partition("_")[0] for name in names))
    metrics = pd.DataFrame(values, columns=names)
    observation = make_observation(metrics, before=20, sli="s0_m0", services=services)
    assert len(run(observation).indicators) == 200


def test_five_rows_are_refused(make_observation):
    metrics = pd.DataFrame({"a_x": [1.0, 2, 1, 2, 5], "c_x": [2.0, 1, 4, 1, 3]})
    with pytest.raises(MethodFailed, match="5 rows are too few"):
        run(make_observation(metrics, **(OPTIONS | {"before": 3})))
