import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.report.svg import LINE, Scale, side_labels, spread, trace


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-292, 281, [-200, 0, 200]),
        (3, 17, [5, 10, 15]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert Scale(low, high, 0, 100).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.005, 50, [0.01, 0.1, 1, 10]), (80, 450, [100, 200])],
)
def test_logarithmic_ticks_are_powers_of_ten_or_parts_of_them(low, high, ticks):
    assert Scale(low, high, 0, 100, log=True).ticks() == pytest.approx(ticks)


def test_places_run_from_start_to_end():
    assert [Scale(0, 10, 100, 0)(value) for value in (0, 5, 10)] == [100, 50, 0]
    assert Scale(1, 100, 0, 10, log=True)(10) == pytest.approx(5)


@pytest.mark.parametrize("log", [False, True])
def test_a_single_value_has_a_place(log):
    assert 0 < spread([3.0, 3.0], 0, 10, log=log)(3.0) < 10


@given(st.lists(st.floats(0, 300), min_size=1, max_size=25))
def test_labels_do_not_overlap(heights):
    points = [(f"m{number}", 0.0, y) for number, y in enumerate(heights)]
    labels = [node for node in side_labels(points, 10, 10, 380) if node.tag == "text"]
    places = sorted(float(node.get("y")) for node in labels)
    gaps = [after - before for before, after in pairwise(places)]
    assert len(places) == len(heights)
    assert all(gap >= LINE - 0.02 for gap in gaps)
    assert places[0] >= 10
    assert places[-1] <= 390


def test_a_gap_breaks_the_line():
    scale = Scale(0, 3, 0, 3)
    node = trace([(0, 0), (1, 1), (2, math.nan), (3, 3)], scale, scale)
    assert node.get("d") == "M0.0 0.0L1.0 1.0M3.0 3.0"
