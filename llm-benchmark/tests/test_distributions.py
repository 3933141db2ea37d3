from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import pytest
from scipy import stats

from llm_benchmark.distributions import constant, parse
from llm_benchmark.units import duration, show_duration

MS = 1_000_000


def draw(text: str, count: int = 20_000) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return parse(text).draw(np.random.default_rng(1), count)


def test_a_number_is_always_that_number_and_uses_no_randomness() -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    assert parse("64").draw(rng, 3).tolist() == [64, 64, 64]
    assert rng.bit_generator.state == before
    assert parse("64").constant == constant(64).constant == 64


def test_uniform_numbers_take_every_value_alike() -> None:
    values, counts = np.unique(draw("uniform:min=3,max=7"), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6, 7]
    assert stats.chisquare(counts).pvalue > 0.001


def test_normal_numbers_have_their_mean_and_deviation() -> None:
    drawn = draw("normal:mean=500,sd=40")
    assert drawn.mean() == pytest.approx(500, abs=1.2)
    assert drawn.std() == pytest.approx(40, rel=0.03)
    assert (
        stats.kstest(
            drawn + np.random.default_rng(2).uniform(-0.5, 0.5, len(drawn)), stats.norm(500, 40).cdf
        ).pvalue
        > 0.001
    )


def test_exponential_numbers_have_their_mean_as_deviation() -> None:
    drawn = draw("exponential:mean=300")
    assert drawn.mean() == pytest.approx(300, rel=0.04)
    assert drawn.std() == pytest.approx(300, rel=0.04)


def test_bounds_collect_what_lies_beyond_them() -> None:
    drawn = draw("normal:mean=10,sd=5,min=8,max=12")
    assert drawn.min() == 8
    assert drawn.max() == 12
    assert (drawn == 8).mean() == pytest.approx(stats.norm(10, 5).cdf(8.5), abs=0.02)


def test_times_are_read_with_their_units() -> None:
    law = parse("normal:mean=20ms,sd=5ms,max=1s", partial(duration), least=0)
    assert (law.mean, law.deviation, law.least, law.most) == (20 * MS, 5 * MS, 0, 1000 * MS)


def test_a_law_shows_the_text_that_it_was_read_from() -> None:
    assert str(parse("uniform:min=1,max=2")) == "uniform:min=1,max=2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "0",
        "-3",
        "1.5",
        "gauss:mean=3",
        "normal:mean=3",
        "normal:mean=3,sd=-1",
        "normal:mean=3,sd=1,top=3",
        "uniform:min=5,max=4",
        "uniform:min=0,max=4",
        "uniform:5,4",
    ],
)
def test_what_is_no_law_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="uniform:min=32,max=128"):
        parse(text)


@pytest.mark.parametrize("text", ["0s", "1500us", "20ms", "90s", "3m", "36h"])
def test_durations_are_shown_as_they_are_read(text: str) -> None:
    assert duration(show_duration(duration(text))) == duration(text)
