import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.dataset.grid import TOLERANCE, to_grid
from rca_benchmark.errors import CaseError

SECOND = 10**9


def raw(times, values=None):
    return pd.DataFrame({"time": times, "a_x": values or range(len(times))})


def test_rows_on_the_step_are_not_touched():
    metrics, step_ns, notes = to_grid(raw([10, 12, 14]), None)
    assert metrics["time"].tolist() == [10 * SECOND, 12 * SECOND, 14 * SECOND]
    assert (step_ns, notes) == (2 * SECOND, ())


def test_missing_rows_become_gaps():
    metrics, _, _ = to_grid(raw([10, 11, 13]), None)
    assert metrics["a_x"].isna().tolist() == [False, False, True, False]


def test_jittered_rows_move_to_the_mean_step_and_are_counted():
    metrics, step_ns, notes = to_grid(raw([0, 59, 120, 181, 240, 600]), 300 * SECOND)
    assert step_ns == 60 * SECOND
    assert metrics["time"].tolist() == [60 * SECOND * row for row in range(11)]
    assert metrics["a_x"].dropna().tolist() == [0, 1, 2, 3, 4, 5]
    assert notes == ("metrics: 2 of 6 rows moved by at most 1 s to the step of 60 s",)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 60, 124, 180], "row 2: time is not on the fixed step of 60 s: 4 s away"),
        ([10, 12, 15], "row 2: time is not on the fixed step of 2 s"),
        ([10, 10, 11], "row 1: time does not increase: 10 repeats"),
        ([10, 12, 11], "row 2: time does not increase: 11 is before"),
        ([10, 11.5, 12], "row 1: time 11.5 is not a whole epoch second"),
        ([10, None, 12], "row 1: time nan is not"),
        ([10, "soon", 12], "row 1: time soon is not"),
        ([10], "at least two rows"),
    ],
)
def test_wrong_times_are_named_by_row(times, message):
    with pytest.raises(CaseError, match=message):
        to_grid(raw(times), None)


def test_no_row_moves_over_the_inject_time():
    with pytest.raises(CaseError, match="row 1: the step of 60 s would move it over the inject"):
        to_grid(raw([0, 59, 120, 180]), 60 * SECOND)


def test_a_text_among_numbers_is_named_by_row_and_column():
    with pytest.raises(CaseError, match="row 1: column a_x: 'much' is not a number"):
        to_grid(raw([1, 2], [1, "much"]), None)


@given(st.integers(20, 600), st.lists(st.integers(-10, 10), min_size=4, max_size=30), st.randoms())
def test_values_keep_their_order_and_move_by_little(step, jitter, random):
    bound = int(TOLERANCE * step / 2)
    offsets = [max(-bound, min(bound, value)) for value in jitter]
    times = [1_000_000 + row * step + offset for row, offset in enumerate(offsets)]
    values = [random.random() for _ in times]
    try:
        metrics, step_ns, _ = to_grid(raw(times, values), None)
    except CaseError as error:  # the mean of few jittered distances may be off itself
        assert "not on the fixed step" in str(error)  # noqa: PT017
        return
    kept = metrics.dropna()
    assert kept["a_x"].tolist() == values
    assert np.abs(kept["time"] / SECOND - times).max() <= TOLERANCE * step_ns / SECOND
    assert set(np.diff(metrics["time"])) == {step_ns}
