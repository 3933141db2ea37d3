import pandas as pd
import pyarrow as pa
import pytest

from rca_benchmark.errors import BenchError
from rca_benchmark.evaluation.results import SCHEMA, to_frame
from rca_benchmark.report.leaderboard import COLUMNS, build_leaderboard, write_leaderboard
from rca_benchmark.report.table import leaderboard_tables


def row(rank, *, fault="cpu", target="a", method="baro", status="ok", dataset="d", **changes):
    return {
        "dataset": dataset,
        "case": "c",
        "method": method,
        "fault": fault,
        "target": target,
        "status": status,
        "rank_service": rank,
        "candidates": 5,
        "candidate_indicators": 50,
        "seconds": 0.5,
        "seed": 0,
    } | changes


def board_of(*rows):
    return build_leaderboard(to_frame(pa.Table.from_pylist(list(rows), schema=SCHEMA)))


def pick(board, **wanted):
    wanted = {"fault": "all", "target": "all", "level": "service"} | wanted
    for key, value in wanted.items():
        board = board[board[key] == value]
    [found] = board.to_dict("records")
    return found


def test_scores_are_means_over_cases():
    found = pick(board_of(row(1), row(2), row(None), row(None, status="failed")))
    assert (found["cases"], found["failed"]) == (4, 1)
    assert (found["ac1"], found["ac3"], found["ac5"]) == (0.25, 0.5, 0.5)
    assert found["avg5"] == pytest.approx((1 + 0.8) / 4)
    assert found["mrr"] == pytest.approx(1.5 / 4)
    assert found["chance_avg5"] == pytest.approx(0.6)
    assert found["lift_avg5"] == pytest.approx(0.45 - 0.6)
    assert found["seconds_median"] == 0.5
    assert found["uses_inject_time"]


def test_chance_is_that_of_each_cases_own_candidates():
    found = pick(board_of(row(1, candidates=1), row(1, candidates=5)))
    assert found["chance_avg5"] == pytest.approx(0.8)


def test_faults_and_targets_have_their_rows_and_marginals():
    board = board_of(row(1), row(6, fault="mem"), row(6, target="b"))
    assert list(board) == COLUMNS
    assert len(board) == 3 + 2 + 2 + 1
    assert pick(board, fault="mem")["ac1"] == 0
    assert pick(board, target="a")["ac1"] == 0.5
    assert pick(board, fault="cpu", target="a")["ac1"] == 1


def test_data_sets_are_never_pooled():
    board = board_of(row(1), row(2, dataset="e"))
    assert pick(board, dataset="d")["cases"] == 1


def test_indicators_are_scored_where_the_true_one_is_known():
    board = board_of(row(1), row(1, indicator="a_x", rank_indicator=2))
    found = pick(board, level="indicator")
    assert (found["cases"], found["avg5"]) == (1, 0.8)
    assert found["chance_avg5"] == pytest.approx(3 / 50)
    assert pick(board)["cases"] == 2


def test_unreadable_cases_are_left_out():
    bad = {"dataset": "d", "case": "x", "method": "baro", "status": "error", "reason": "r"}
    assert pick(board_of(row(1), bad))["cases"] == 1
    with pytest.raises(BenchError, match="no readable case"):
        board_of(bad)


def test_the_file_has_the_documented_columns(tmp_path):
    path = write_leaderboard(board_of(row(1)), tmp_path)
    assert path.name == "leaderboard.csv"
    assert list(pd.read_csv(path)) == COLUMNS
    assert len(list(tmp_path.iterdir())) == 1


def test_the_table_puts_the_best_method_first():
    board = board_of(row(2, method="nsigma"), row(1), row(5, method="random"))
    [table] = leaderboard_tables(board)
    assert list(table.columns[0].cells) == ["baro", "nsigma", "random"]
    assert list(table.columns[-1].cells) == ["yes", "yes", "no"]
