import numpy as np
import pandas as pd
import pytest

from rca_benchmark.errors import MethodFailed
from rca_benchmark.preprocess import split_windows

NAN, INF = np.nan, np.inf


def windows_of(make_observation, columns, before, **options):
    return split_windows(make_observation(pd.DataFrame(columns), before=before), **options)


def test_rows_are_cut_at_the_inject_time(make_observation):
    windows = windows_of(make_observation, {"a_x": [1.0, 2.0, 3.0, 4.0]}, before=3)
    assert windows.normal["a_x"].tolist() == [1, 2, 3]
    assert windows.anomalous["a_x"].tolist() == [4]


def test_length_keeps_the_rows_next_to_the_inject_time(make_observation):
    values = [float(value) for value in range(10)]
    windows = windows_of(make_observation, {"a_x": values}, before=6, length=2)
    assert windows.normal["a_x"].tolist() == [4, 5]
    assert windows.anomalous["a_x"].tolist() == [6, 7]


def test_only_what_is_constant_over_both_windows_is_left_out(make_observation):
    columns = {"a_flat": [1.0] * 4, "a_step": [1.0, 1.0, 9.0, 9.0]}
    windows = windows_of(make_observation, columns, before=2)
    assert windows.constant == ("a_flat",)
    assert list(windows.normal) == ["a_step"]


def test_gaps_are_filled_forwards_up_to_the_limit_and_counted(make_observation):
    columns = {"a_x": [1.0, NAN, NAN, NAN, 5.0, 6.0], "b_x": [NAN, 1.0, 2.0, 3.0, 4.0, 5.0]}
    windows = windows_of(make_observation, columns, before=4, fill_limit=2)
    assert windows.normal["a_x"].tolist()[:3] == [1, 1, 1]
    assert np.isnan(windows.normal["a_x"].iloc[3])
    assert np.isnan(windows.normal["b_x"].iloc[0])  # never filled backwards
    assert (windows.filled, windows.gaps) == (2, 2)


def test_no_fill_when_the_limit_is_zero(make_observation):
    windows = windows_of(make_observation, {"a_x": [1.0, NAN, 2.0, 3.0]}, before=2, fill_limit=0)
    assert (windows.filled, windows.gaps) == (0, 1)


def test_infinite_values_are_gaps(make_observation):
    windows = windows_of(make_observation, {"a_x": [1.0, INF, 2.0, -INF]}, before=2)
    assert windows.infinite == 2
    assert np.isfinite(windows.anomalous.to_numpy()).all()


def test_an_indicator_without_values_in_a_window_is_left_out(make_observation):
    columns = {"a_x": [NAN, NAN, 1.0, 2.0], "b_x": [1.0, 2.0, 3.0, 4.0]}
    assert windows_of(make_observation, columns, before=2).empty == ("a_x",)


def test_nothing_left_is_a_failure(make_observation):
    with pytest.raises(MethodFailed, match="no indicator"):
        windows_of(make_observation, {"a_x": [1.0, 1.0]}, before=1)


def test_no_inject_time_is_a_failure(make_observation):
    with pytest.raises(MethodFailed, match="no inject time"):
        split_windows(make_observation(inject_time_ns=None))
