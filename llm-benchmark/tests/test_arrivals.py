from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_benchmark.arrivals import ARRIVALS, schedule

SECOND = 1_000_000_000


def test_constant_arrivals_are_evenly_spaced_from_zero() -> None:
    assert schedule("constant", 3, SECOND, seed=0).tolist() == [0, 333_333_333, 666_666_667]


def test_constant_arrivals_do_not_drift_over_a_long_run() -> None:
    due = schedule("constant", 7, 3600 * SECOND, seed=0)
    assert len(due) == 7 * 3600
    assert due[7 * 3599] == 3599 * SECOND


def test_constant_arrivals_leave_out_the_end_of_the_run_in_spite_of_rounding() -> None:
    assert len(schedule("constant", 0.1, 30 * SECOND, seed=0)) == 3


@given(
    arrivals=st.sampled_from(sorted(ARRIVALS)),
    rate=st.floats(0.01, 1000),
    duration=st.integers(1, 10 * SECOND),
    seed=st.integers(0, 2**32),
)
def test_offsets_ascend_within_the_run(
    arrivals: str, rate: float, duration: int, seed: int
) -> None:
    due = schedule(arrivals, rate, duration, seed)
    assert due.dtype == np.int64
    assert (np.diff(due) >= 0).all()
    assert ((due >= 0) & (due < duration)).all()


@pytest.mark.parametrize("arrivals", sorted(ARRIVALS))
def test_the_same_seed_gives_the_same_schedule(arrivals: str) -> None:
    first, again = (schedule(arrivals, 50, 10 * SECOND, seed=7) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_another_seed_gives_another_poisson_schedule() -> None:
    one, other = (schedule("poisson", 50, 10 * SECOND, seed) for seed in (1, 2))
    assert one.tolist() != other.tolist()


def test_poisson_counts_have_mean_and_variance_of_rate_times_duration() -> None:
    counts = [len(schedule("poisson", 20, 5 * SECOND, seed)) for seed in range(2000)]
    # Standard errors of mean and variance of 2,000 Poisson(100) counts: 0.22 and 3.2.
    assert np.mean(counts) == pytest.approx(100, abs=4 * 0.22)
    assert np.var(counts) == pytest.approx(100, abs=4 * 3.2)


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(schedule("poisson", 100, 200 * SECOND, seed=3)) / SECOND
    assert gaps.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps.std() == pytest.approx(0.01, rel=0.03)
    # Kolmogorov-Smirnov distance; 1.63 / sqrt(n) is its 1 % critical value.
    expected = 1 - np.exp(-100 * np.sort(gaps))
    steps = np.arange(len(gaps) + 1) / len(gaps)
    distance = max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))
    assert distance < 1.63 / np.sqrt(len(gaps))
