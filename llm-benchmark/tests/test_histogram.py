from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_benchmark.histogram import Histogram

VALUES = st.lists(st.integers(0, 10**15), min_size=1, max_size=300)


def of(*parts: list[int]) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(np.array(part, np.int64))
    return histogram


@given(VALUES, st.floats(0.001, 1))
def test_quantiles_are_right_to_an_eighth_of_a_permille(values: list[int], share: float) -> None:
    exact = np.quantile(values, share, method="inverted_cdf")
    assert of(values).quantile(share) == pytest.approx(exact, abs=(exact + 1) / 8192)


@given(VALUES, VALUES)
def test_merged_histograms_are_as_one(one: list[int], other: list[int]) -> None:
    merged = of(one)
    merged.merge(of(other))
    whole = of(one, other)
    for share in (0.01, 0.5, 0.99, 1):
        assert merged.quantile(share) == whole.quantile(share)
    assert (merged.count, merged.maximum) == (whole.count, whole.maximum)
    assert merged.mean == pytest.approx(np.mean(one + other))


def test_nothing_has_no_figures() -> None:
    empty = of([])
    empty.merge(of([]))
    assert (empty.count, empty.mean, empty.maximum, empty.quantile(0.5)) == (0, None, None, None)


def test_memory_does_not_grow_with_the_number_of_values() -> None:
    histogram = Histogram()
    for seed in range(20):
        histogram.add(np.random.default_rng(seed).exponential(2e7, 100_000))
    assert len(pickle.dumps(histogram)) < 2_000_000
