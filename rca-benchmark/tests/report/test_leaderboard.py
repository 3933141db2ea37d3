import pandas as pd
import pytest

from rca_benchmark.errors import BenchError
from rca_benchmark.report.leaderboard import COLUMNS, build_leaderboard, write_leaderboard


def pick(board, **wanted):
    wanted = {"fault": "all", "target": "all", "level": "service"} | wanted
    for key, value in wanted.items():
        board = board[board[key] == value]
    [found] = board.to_dict("records")
    return found


@pytest.fixture
def board_of(results_of):
    return lambda *rows: build_leaderboard(results_of(*rows))


def test_scores_are_means_over_cases(board_of, row):
    found = pick(board_of(row(1), row(2), row(None, status="ok"), row(None, status="failed")))
    assert (found["cases"], found["failed"]) == (4, 1)
    assert (found["ac1"], found["ac3"], found["ac5"]) == (0.25, 0.5, 0.5)
    assert found["avg5"] == pytest.approx((1 + 0.8) / 4)
    assert found["mrr"] == pytest.approx(1.5 / 4)
    assert found["chance_avg5"] == pytest.approx(0.6)
    assert found["lift_avg5"] == pytest.approx(0.45 - 0.6)
    assert found["seconds_median"] == 0.5
    assert found["uses_inject_time"]


def test_the_interval_is_that_of_the_mean_over_its_cases(board_of, row):
    # Wilson for 5 of 10: center .5, half width z / (1 + z²/n) * sqrt(.25/n + z²/(4n²)) = .2634.
    found = pick(board_of(*[row(1)] * 5, *[row(None)] * 5))
    assert found["avg5"] == 0.5
    assert (found["avg5_low"], found["avg5_high"]) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@pytest.mark.parametrize("status", ["failed", "timeout", "oom"])
def test_every_kind_of_failure_counts_as_wrong(board_of, row, status):
    found = pick(board_of(row(1), row(None, status=status, reason="r")))
    assert (found["cases"], found["failed"], found["ac1"]) == (2, 1, 0.5)


def test_chance_is_that_of_each_cases_own_candidates(board_of, row):
    found = pick(board_of(row(1, candidates=1), row(1, candidates=5)))
    assert found["chance_avg5"] == pytest.approx(0.8)


def test_faults_and_targets_have_their_rows_and_marginals(board_of, row):
    board = board_of(row(1), row(6, fault="mem"), row(6, target="b"))
    assert list(board) == COLUMNS
    assert len(board) == 3 + 2 + 2 + 1
    assert pick(board, fault="mem")["ac1"] == 0
    assert pick(board, target="a")["ac1"] == 0.5
    assert pick(board, fault="cpu", target="a")["ac1"] == 1


def test_data_sets_are_never_pooled(board_of, row):
    board = board_of(row(1), row(2, dataset="e"))
    assert pick(board, dataset="demo")["cases"] == 1


def test_indicators_are_scored_where_the_true_one_is_known(board_of, row):
    board = board_of(row(1), row(1, indicator="a_x", rank_indicator=2))
    found = pick(board, level="indicator")
    assert (found["cases"], found["avg5"]) == (1, 0.8)
    assert found["chance_avg5"] == pytest.approx(3 / 50)
    assert pick(board)["cases"] == 2


def test_only_the_default_configuration_counts(board_of, row):
    late, short = row(5, tdelta=30.0), row(5, length=60)
    assert pick(board_of(row(1), late, short))["avg5"] == 1


def test_each_data_set_has_its_own_default(board_of, row):
    board = board_of(row(1), row(2, dataset="e", tdelta=15.0, length=60))
    assert pick(board, dataset="e")["avg5"] == 0.8


def test_unreadable_cases_are_left_out(board_of, row):
    bad = {"dataset": "demo", "case": "x", "method": "baro", "status": "error", "reason": "r"}
    assert pick(board_of(row(1), bad))["cases"] == 1
    with pytest.raises(BenchError, match="no readable case"):
        board_of(bad)


def test_a_method_that_is_not_installed_is_not_guessed_about(board_of, row):
    assert pd.isna(pick(board_of(row(1, method="not-installed")))["uses_inject_time"])


def test_the_file_has_the_documented_columns(board_of, row, tmp_path):
    path = write_leaderboard(board_of(row(1)), tmp_path)
    assert path.name == "leaderboard.csv"
    assert list(pd.read_csv(path)) == COLUMNS
    assert len(list(tmp_path.iterdir())) == 1
