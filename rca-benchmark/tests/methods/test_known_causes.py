"""Linear systems in which the noise of one indicator shifts with the fault: is it found?"""

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.methods import get_method

RUNS = 30


def linear_system(make_observation, seed, *, count=12, before=300, after=150, shift=6.0):
    """The observation and its root cause.

    Every indicator has about two causes with coefficients of size 0.5 to 1; columns are in random
    order, so names say nothing about causes.
    """
    rng = np.random.default_rng(seed)
    edges = np.triu(rng.random((count, count)) < 2 / count, 1)
    sizes = rng.uniform(0.5, 1, (count, count)) * rng.choice([-1, 1], (count, count))
    root = int(rng.integers(0, count // 2))
    noise = rng.normal(size=(before + after, count))
    noise[before:, root] += shift
    values = noise @ np.linalg.inv(np.eye(count) - edges * sizes)
    place = rng.permutation(count)
    names = [f"s{number}_x_y" for number in range(count)]
    metrics = pd.DataFrame(values[:, place], columns=names)
    services = tuple(f"s{number}" for number in range(count))
    observation = make_observation(metrics, before=before, services=services)
    return observation, names[int(np.flatnonzero(place == root)[0])]


def times_found(make_observation, name, **changes):
    found = 0
    for seed in range(RUNS):
        observation, root = linear_system(make_observation, seed, **changes)
        ranking = get_method(name).function(observation, np.random.default_rng(seed))
        found += ranking.indicators[0] == root
    return found


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("baro", 29),
        ("causalai", 28),
        ("circa", 24),
        ("e_diagnosis", 28),
        ("ht", 28),
        ("nsigma", 28),
        ("rcd", 29),
    ],
)
def test_the_indicator_whose_own_noise_shifts_comes_first(make_observation, name, least):
    assert times_found(make_observation, name) >= least


@pytest.mark.parametrize(
    ("name", "least"),
    [("causalai", 28), ("circa", 22), ("e_diagnosis", 28), ("ht", 28), ("rcd", 27)],
)
def test_so_it_does_in_windows_as_short_as_those_of_the_stack(make_observation, name, least):
    assert times_found(make_observation, name, before=57, after=19) >= least


def nearly_exact_chain(make_observation, seed, shift):
    """c -> b -> a with little noise of their own, and a shift at c: all three move alike."""
    rng = np.random.default_rng(seed)
    first, second, third = rng.normal(size=(3, 400)) * [[1.0], [0.3], [0.3]]
    first[300:] += shift
    second += first
    third += second
    rest = rng.normal(size=(400, 3))
    columns = {"a_x": third, "b_x": second, "c_x": first}
    columns |= {f"{name}_x": rest[:, place] for place, name in enumerate("def")}
    return make_observation(pd.DataFrame(columns), before=300, services=tuple("abcdef"))


@pytest.mark.parametrize(("name", "shift"), [("causalai", 2), ("ht", 8), ("rcd", 2)])
def test_effects_that_follow_their_cause_are_not_taken_for_it(make_observation, name, shift):
    """The root cause is c_x; by column or by name it comes last of the three."""
    found = 0
    for seed in range(20):
        observation = nearly_exact_chain(make_observation, seed, shift)
        ranking = get_method(name).function(observation, np.random.default_rng(seed))
        found += ranking.indicators[0] == "c_x"
    assert found >= 15
