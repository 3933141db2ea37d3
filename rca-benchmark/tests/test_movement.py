import numpy as np
import pandas as pd
import pytest

from rca_benchmark.movement import Movement, movement


def test_movement_is_measured_in_robust_standard_deviations():
    found = movement(pd.Series([1.0, 2.0, 3.0, 4.0, 8.0]), pd.Series([9.0, 9.0, np.nan]))
    assert (found.before, found.during) == (3.6, 9)
    assert (found.median_before, found.median_during) == (3, 9)
    assert found.z == pytest.approx(6 / 1.4826)
    assert found.moved


@pytest.mark.parametrize(
    ("level", "during", "moved"),
    [(1.0, 1.0, False), (1.0, 1.09, False), (1.0, 1.11, True), (1.0, 0.8, True), (0.0, 0.1, True)],
)
def test_what_never_varied_has_no_z_and_moves_by_more_than_a_tenth(level, during, moved):
    found = movement(pd.Series([level] * 3), pd.Series([during] * 2))
    assert found.z is None
    assert found.moved is moved


def test_without_values_nothing_moved():
    found = movement(pd.Series([1.0, 2.0]), pd.Series([np.nan]))
    assert found == Movement(1.5, None, 1.5, None, None, moved=False)
