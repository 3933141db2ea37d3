import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.evaluation.scoring import (
    accuracy_at,
    average_at_5,
    chance_average_at_5,
    rank_of,
    reciprocal_rank,
)


def test_rank_counts_from_one():
    assert rank_of("b", ("a", "b")) == 2
    assert rank_of("c", ("a", "b")) is None


@pytest.mark.parametrize(
    ("rank", "scores"),
    [
        (1, (1, 1, 1, 1.0, 1)),
        (2, (0, 1, 1, 0.8, 1 / 2)),
        (5, (0, 0, 1, 0.2, 1 / 5)),
        (6, (0, 0, 0, 0.0, 1 / 6)),
        (None, (0, 0, 0, 0.0, 0)),
    ],
)
def test_scores_of_one_case(rank, scores):
    found = (*(accuracy_at(k, rank) for k in (1, 3, 5)), average_at_5(rank), reciprocal_rank(rank))
    assert found == scores


def test_chance_with_five_candidates_is_three_fifths():
    assert chance_average_at_5(5) == pytest.approx(0.6)
    assert chance_average_at_5(1) == 1


@given(st.integers(1, 40))
def test_chance_is_the_mean_over_all_ranks(candidates):
    scores = [average_at_5(rank) for rank in range(1, candidates + 1)]
    assert chance_average_at_5(candidates) == pytest.approx(np.mean(scores))
