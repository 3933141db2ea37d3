import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.evaluation.scoring import (
    accuracy_at,
    average_at_5,
    chance_accuracy_at,
    chance_average_at_5,
    chance_reciprocal_rank,
    rank_of,
    reciprocal_rank,
    score_cases,
    summarise,
    with_marginals,
)
from rca_benchmark.evaluation.statistics import wilson
from rca_benchmark.methods import get_method


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
    reciprocal = [reciprocal_rank(rank) for rank in range(1, candidates + 1)]
    assert chance_reciprocal_rank(candidates) == pytest.approx(np.mean(reciprocal))
    for k in (1, 3, 5):
        right = [accuracy_at(k, rank) for rank in range(1, candidates + 1)]
        assert chance_accuracy_at(k, candidates) == pytest.approx(np.mean(right))


def results(*rows):
    columns = ["case", "fault", "target", "status", "rank_service", "rank_indicator", "indicator"]
    table = pd.DataFrame(rows, columns=columns)
    integers = {"rank_service": "Int64", "rank_indicator": "Int64"}
    return table.astype(integers).assign(
        dataset="d", method="m", tdelta=0.0, length=pd.NA, candidates=4, candidate_indicators=8,
        seconds=[float(number) for number in range(len(table))], peak_mb=100.0,
    )  # fmt: skip


RESULTS = results(
    ("1", "cpu", "a", "ok", 1, 2, "a_cpu"),
    ("2", "cpu", "b", "ok", 3, None, None),
    ("3", "mem", "a", "timeout", None, None, "a_mem"),
    ("4", "mem", "a", "ok", None, None, None),
    ("5", None, None, "error", None, None, None),
)


def test_failures_count_as_wrong_and_take_the_last_place():
    scored = score_cases(RESULTS, "service")
    assert scored["ac1"].tolist() == [1, 0, 0, 0]
    assert scored["ac3"].tolist() == [1, 1, 0, 0]
    assert scored["rank"].tolist() == [1, 3, 4, 4]
    assert scored["failed"].tolist() == [False, False, True, False]


def test_the_indicator_is_scored_where_it_is_known():
    scored = score_cases(RESULTS, "indicator")
    assert scored["case"].tolist() == ["1", "3"]
    assert scored["mrr"].tolist() == [0.5, 0]
    assert scored["chance_ac1"].tolist() == [1 / 8, 1 / 8]


def test_marginals_are_over_faults_and_targets_but_never_over_data_sets():
    table = with_marginals(score_cases(RESULTS, "service"))
    assert table.groupby(["fault", "target"]).size().to_dict() == {
        ("cpu", "a"): 1, ("cpu", "b"): 1, ("cpu", "all"): 2, ("mem", "a"): 2, ("mem", "all"): 2,
        ("all", "a"): 3, ("all", "b"): 1, ("all", "all"): 4,
    }  # fmt: skip
    assert set(table["dataset"]) == {"d"}


def test_a_summary_of_a_group():
    found = summarise(score_cases(RESULTS, "service"))
    assert (found["cases"], found["failed"]) == (4, 1)
    assert found["avg5"] == pytest.approx((1 + 0.6) / 4)
    assert found["mrr"] == pytest.approx((1 + 1 / 3) / 4)
    assert found["mean_rank"] == 3
    assert found["chance_avg5"] == pytest.approx(chance_average_at_5(4))
    assert found["lift_avg5"] == pytest.approx(0.4 - chance_average_at_5(4))
    interval = wilson(0.4, 4)
    assert (found["avg5_low"], found["avg5_high"]) == pytest.approx((interval.low, interval.high))
    assert (found["seconds_median"], found["seconds_p95"]) == pytest.approx((1.5, 2.85))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_random_scores_what_chance_predicts(make_observation, k):
    """Over 2,000 draws AC@k lies in the 99 % interval around the printed chance."""
    names = [f"{service}_{metric}" for service in "abcdefg" for metric in ("x", "y")][:-1]
    metrics = pd.DataFrame(np.ones((4, len(names))), columns=names)
    observation = make_observation(metrics, before=2, services=tuple("abcdefg"))
    function = get_method("random").function
    ranks = [
        rank_of("g", function(observation, np.random.default_rng(seed)).services)
        for seed in range(2000)
    ]
    mean, chance = np.mean([accuracy_at(k, rank) for rank in ranks]), chance_accuracy_at(k, 7)
    assert abs(mean - chance) < 2.576 * (chance * (1 - chance) / 2000) ** 0.5
