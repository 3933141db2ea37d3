from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llm_benchmark.arrivals import ARRIVALS, Profile, Stage, parse_stages, schedule, steady

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECOND = 1_000_000_000
RAMP = Profile(parse_stages("20@20s,20-180@40s,180-0@20s,0@5s,60@30s"))


def gaps_in_expected_requests(due: NDArray[np.int64], profile: Profile) -> NDArray[np.float64]:
    """Map a schedule back to unit rate: what is left must be the process itself."""
    return np.diff([profile.expected_until(int(one)) for one in due])


def test_constant_arrivals_are_evenly_spaced_from_zero() -> None:
    due = schedule("constant", steady(3, SECOND), seed=0)
    assert due.tolist() == [0, 333_333_333, 666_666_667]


def test_constant_arrivals_do_not_drift_over_ten_million_requests() -> None:
    due = schedule("constant", steady(7000, 1500 * SECOND), seed=0)
    assert len(due) == 7000 * 1500
    seconds = np.arange(0, len(due), 7000)
    assert (due[seconds] == np.arange(1500) * SECOND).all()


def test_constant_arrivals_leave_out_the_end_of_the_run_in_spite_of_rounding() -> None:
    assert len(schedule("constant", steady(0.1, 30 * SECOND), seed=0)) == 3


@given(
    arrivals=st.sampled_from(ARRIVALS),
    stages=st.lists(
        st.builds(Stage, st.floats(0, 500), st.floats(0, 500), st.integers(1, 4 * SECOND)),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 2**32),
    burstiness=st.floats(0.1, 10),
)
def test_offsets_ascend_within_the_run(
    arrivals: str, stages: list[Stage], seed: int, burstiness: float
) -> None:
    profile = Profile(tuple(stages))
    due = schedule(arrivals, profile, seed, burstiness=burstiness, burst_every_ns=SECOND // 3)
    assert due.dtype == np.int64
    assert (np.diff(due) >= 0).all()
    assert ((due >= 0) & (due < profile.duration_ns)).all()


@pytest.mark.parametrize("arrivals", ARRIVALS)
def test_the_same_seed_gives_the_same_schedule(arrivals: str) -> None:
    first, again = (schedule(arrivals, steady(50, 10 * SECOND), seed=7) for _ in range(2))
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("arrivals", ["poisson", "gamma", "uniform"])
def test_another_seed_gives_another_schedule(arrivals: str) -> None:
    one, other = (schedule(arrivals, steady(50, 10 * SECOND), seed) for seed in (1, 2))
    assert one.tolist() != other.tolist()


def test_poisson_counts_have_mean_and_variance_of_rate_times_duration() -> None:
    profile = steady(20, 5 * SECOND)
    counts = [len(schedule("poisson", profile, seed)) for seed in range(2000)]
    # Standard errors of mean and variance of 2,000 Poisson(100) counts: 0.22 and 3.2.
    assert np.mean(counts) == pytest.approx(100, abs=4 * 0.22)
    assert np.var(counts) == pytest.approx(100, abs=4 * 3.2)


LAWS = {
    "poisson": (1.0, stats.expon()),
    "gamma at 0.25": (0.25, stats.gamma(0.25, scale=4)),
    "gamma at 1": (1.0, stats.expon()),
    "gamma at 4": (4.0, stats.gamma(4, scale=0.25)),
    "uniform": (1.0, stats.uniform(0, 2)),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("profile", [steady(100, 100 * SECOND), RAMP], ids=["steady", "ramps"])
def test_gaps_follow_their_law(law: str, profile: Profile) -> None:
    burstiness, expected = LAWS[law]
    arrivals = law.split()[0]
    rejected = 0
    for seed in range(40):
        due = schedule(arrivals, profile, seed, burstiness=burstiness)
        gaps = gaps_in_expected_requests(due, profile)
        assert gaps.mean() == pytest.approx(1, abs=5 * expected.std() / len(gaps) ** 0.5)
        assert gaps.var() == pytest.approx(expected.var(), rel=0.35)
        rejected += stats.kstest(gaps, expected.cdf).pvalue < 0.05
    # 40 tests at a level of 5 %: eight rejections or more come by chance once in 1,500 times.
    assert rejected < 8


def test_bursts_hold_what_the_rate_makes_of_them() -> None:
    due = schedule("burst", steady(3.5, 4 * SECOND), seed=0, burst_every_ns=SECOND)
    instants, sizes = np.unique(due, return_counts=True)
    assert (instants / SECOND).tolist() == [0, 1, 2, 3]
    assert sizes.tolist() == [3, 4, 3, 4]


def test_a_ramp_has_the_rate_of_each_of_its_seconds() -> None:
    due = schedule("constant", Profile(parse_stages("0-100@10s")), seed=0)
    counts = np.histogram(due / SECOND, np.arange(11))[0]
    assert counts.tolist() == pytest.approx([5, 15, 25, 35, 45, 55, 65, 75, 85, 95], abs=1)


@given(st.floats(0.001, 1000), st.floats(0.001, 1000), st.integers(1, 10**12), st.floats(0, 0.999))
def test_instants_invert_the_expected_number(
    start: float, end: float, duration: int, share: float
) -> None:
    profile = Profile((Stage(start, end, duration),))
    count = profile.expected * share
    offset = int(profile.instants(np.array([count]))[0])
    # The offset is rounded to a nanosecond.
    assert profile.expected_until(offset) == pytest.approx(count, rel=1e-6, abs=2e-6)


def test_stages_are_read() -> None:
    assert parse_stages("10@30s,10-50.5@1m, 0@500ms") == (
        Stage(10, 10, 30 * SECOND),
        Stage(10, 50.5, 60 * SECOND),
        Stage(0, 0, SECOND // 2),
    )


@pytest.mark.parametrize("text", ["", "10", "10@", "10@30", "a@1s", "-1@1s", "0@10s", "5-@1s"])
def test_what_is_no_list_of_stages_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_stages(text)
