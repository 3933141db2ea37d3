import numpy as np
import pandas as pd
import pytest

from rca_benchmark.causal.series import complete_series, independent_columns
from rca_benchmark.errors import MethodFailed

NAN = np.nan


def series_of(columns):
    table = pd.DataFrame(columns)
    table.insert(0, "time", range(len(table)))
    return complete_series(table.astype(dict.fromkeys(columns, "float64")))


def noise(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def test_columns_are_sorted_and_standardised():
    values = noise(50, 3) * [1.0, 1e9, 1e-9] + [0, 5e9, 7]
    found = series_of({name: values[:, place] for place, name in enumerate(("b_x", "c_x", "a_x"))})
    assert found.names == ("a_x", "b_x", "c_x")
    np.testing.assert_allclose(np.mean(found.values, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.std(found.values, axis=0), 1)
    expected = np.corrcoef(values[:, [2, 0, 1]].T)
    np.testing.assert_allclose(found.correlations, expected, atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        np.copyto(found.values, 0)


def test_a_gap_lies_on_the_line_between_its_neighbours():
    gappy = series_of({"a_x": [NAN, 1, NAN, 3, np.inf, NAN, 9, 8, 7, 4, NAN], "b_x": range(11)})
    whole = series_of({"a_x": [1.0, 1, 2, 3, 5, 7, 9, 8, 7, 4, 4], "b_x": range(11)})
    np.testing.assert_allclose(gappy.values, whole.values)


def test_more_gaps_than_values_leave_an_indicator_out():
    found = series_of({"a_x": [NAN] * 5 + [1, 2, 3.0], "b_x": [NAN] * 4 + [1, 3, 2, 5.0]})
    assert found.left_out == {"a_x": "more gaps than values"}
    assert found.names == ("b_x",)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.3, 1e-200, 1e200, 0.1 + 0.2])
def test_a_constant_is_left_out_and_named(value):
    found = series_of({"a_x": [value] * 6, "b_x": range(6)})
    assert found.left_out == {"a_x": "it does not vary"}
    with pytest.raises(MethodFailed, match="a_x cannot be used: it does not vary"):
        found.position("a_x")


def test_twins_are_kept_once_and_scored_alike():
    base = noise(30, 2)
    columns = {"d_x": base[:, 0], "b_x": 3 - 1e6 * base[:, 0], "c_x": base[:, 1], "a_x": base[:, 1]}
    found = series_of(columns)
    assert found.names == ("a_x", "b_x")
    assert found.same_as == {"c_x": "a_x", "d_x": "b_x"}
    assert found.position("d_x") == 1
    scores = found.by_indicator(np.array([0.1, 0.7]))
    assert scores == {"a_x": 0.1, "b_x": 0.7, "c_x": 0.1, "d_x": 0.7}


def test_what_is_similar_is_no_twin():
    base = noise(200, 2)
    found = series_of({"a_x": base[:, 0], "b_x": base[:, 0] + 0.01 * base[:, 1]})
    assert not found.same_as


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e3, 1e200])
def test_a_unit_changes_nothing(scale):
    base = noise(40, 3)
    plain = series_of({f"{name}_x": base[:, place] for place, name in enumerate("abc")})
    scaled = series_of({f"{name}_x": scale * base[:, place] for place, name in enumerate("abc")})
    np.testing.assert_allclose(scaled.values, plain.values, rtol=1e-9)


def test_column_order_changes_nothing():
    base = noise(40, 4)
    names = ["a_x", "b_x", "c_x", "d_x"]
    columns = dict(zip(names, [*base[:, :3].T, base[:, 0] * 2], strict=True))
    forwards, backwards = series_of(columns), series_of(dict(reversed(columns.items())))
    assert forwards.names == backwards.names
    assert forwards.same_as == backwards.same_as
    np.testing.assert_array_equal(forwards.values, backwards.values)


def test_too_little_is_refused():
    with pytest.raises(MethodFailed, match="3 rows are too few"):
        series_of({"a_x": [1.0, 2, 4]})
    with pytest.raises(MethodFailed, match="varies"):
        series_of({"a_x": [1.0] * 5, "b_x": [NAN] * 5})


def test_no_sli_is_said():
    with pytest.raises(MethodFailed, match="no SLI"):
        series_of({"a_x": range(5)}).position(None)


def test_columns_that_others_determine_are_not_independent():
    base = noise(100, 3)
    values = np.column_stack([base, base.sum(axis=1), base[:, 0] - base[:, 1]])
    correlations = np.corrcoef(values.T)
    found = independent_columns(correlations, 100)
    assert len(found) == 3
    assert np.linalg.cond(correlations[np.ix_(found, found)]) < 1e3
    assert list(found) == sorted(found)


@pytest.mark.parametrize("first", range(4))
def test_the_first_column_is_kept(first):
    base = noise(100, 3)
    correlations = np.corrcoef(np.column_stack([base, base.sum(axis=1)]).T)
    found = independent_columns(correlations, 100, first)
    assert first in found
    assert len(found) == 3


def test_independent_columns_are_no_more_than_the_rows_can_tell_apart():
    correlations = np.corrcoef(noise(6, 20).T)
    found = independent_columns(correlations, 6)
    assert len(found) == 4
    assert np.linalg.matrix_rank(correlations[np.ix_(found, found)]) == 4


def test_independent_columns_are_all_where_none_is_determined():
    assert independent_columns(np.eye(5), 100).tolist() == [0, 1, 2, 3, 4]
