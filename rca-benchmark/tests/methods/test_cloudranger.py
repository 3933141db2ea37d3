import numpy as np
import pandas as pd
import pytest

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods import get_method


def run(observation):
    return get_method("cloudranger").function(observation, np.random.default_rng(0))


def colliders(seed=0, rows=400):
    """What sets the direction: a and d make b, b makes c; e is apart."""
    rng = np.random.default_rng(seed)
    a, b, c, d, e = rng.normal(size=(5, rows))
    b = b + 2 * a + d
    return pd.DataFrame({"a_x": a, "b_x": b, "c_x": c + 2 * b, "d_x": d, "e_x": e})


@pytest.mark.parametrize("seed", range(3))
def test_the_walk_goes_from_the_sli_to_the_stronger_cause(make_observation, seed):
    observation = make_observation(colliders(seed), sli="c_x", services=tuple("abcde"))
    services = run(observation).services
    assert services.index("a") < services.index("d") < services.index("c")


def test_all_indicators_are_ranked_whatever_the_walk_can_reach(make_observation):
    observation = make_observation(colliders(), sli="a_x", services=tuple("abcde"))
    assert set(run(observation).services) == set("abcde")


def test_what_the_walk_cannot_reach_comes_last_by_its_correlation(make_observation):
    metrics = colliders(1).rename(columns={"d_x": "f_x"})  # PC takes d for unrelated here
    observation = make_observation(metrics, sli="c_x", services=tuple("abcef"))
    correlation = metrics.corr()["c_x"].abs()
    assert correlation["f_x"] > correlation["e_x"]
    assert run(observation).services == ("b", "a", "f", "e", "c")


def test_the_answer_follows_the_sli(make_observation):
    answers = {
        run(make_observation(colliders(), sli=sli, services=tuple("abcde"))).indicators
        for sli in ("a_x", "c_x", "d_x")
    }
    assert len(answers) == 3


def test_without_an_edge_there_is_no_answer(make_observation):
    wave = np.arange(64) * 2 * np.pi / 64
    metrics = pd.DataFrame({f"{name}_x": np.sin(wave * (place + 1))
                            for place, name in enumerate("abc")})  # fmt: skip
    with pytest.raises(MethodFailed, match="no causal relation"):
        run(make_observation(metrics, sli="a_x", services=tuple("abc")))


def test_scale_and_offset_play_no_part(make_observation):
    metrics = colliders()
    options = {"sli": "c_x", "services": tuple("abcde")}
    changed = make_observation(metrics * [1e6, 1e-6, -3, 1, 7] + 100, **options)
    assert run(changed) == run(make_observation(metrics, **options))
