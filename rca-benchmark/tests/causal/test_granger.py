import numpy as np
import pytest
from statsmodels.tsa.stattools import grangercausalitytests

from rca_benchmark.causal.granger import granger_causes, granger_p_values
from rca_benchmark.errors import MethodFailed


def autoregression(seed, rows=120, count=6):
    """A stable vector autoregression of two lags with a few causes."""
    rng = np.random.default_rng(seed)
    links = rng.normal(0, 0.5, (2, count, count)) * (rng.random((2, count, count)) < 0.2)
    values = rng.normal(size=(rows + 50, count))
    for row in range(2, rows + 50):
        past = values[row - 1] @ links[0] + values[row - 2] @ links[1]
        values[row] += np.tanh(past)
    return values[50:]


def by_statsmodels(values, lags):
    count = values.shape[1]
    found = np.ones((lags, count, count))
    for cause in range(count):
        for effect in range(count):
            if cause != effect:
                tests = grangercausalitytests(values[:, [effect, cause]], lags)
                for lag in range(1, lags + 1):
                    found[lag - 1, cause, effect] = tests[lag][0]["ssr_ftest"][1]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_p_values_are_those_of_statsmodels(seed):
    values = autoregression(seed, rows=40 + 30 * seed)
    expected = by_statsmodels(values, 3)
    np.testing.assert_allclose(granger_p_values(values), expected, rtol=1e-7, atol=1e-12)
    adjacency = granger_causes(values)
    np.testing.assert_array_equal(adjacency, (expected < 0.05).any(axis=0))
    assert adjacency.any()
    assert not adjacency.all()


def test_a_real_case_agrees_with_statsmodels(fault_data):
    from rca_benchmark.causal.series import complete_series
    from rca_benchmark.dataset import find_cases, read_case

    case = read_case(find_cases(fault_data / "rcd-ss")[0])
    values = complete_series(case.observation.metrics).values[:, :8]
    expected = by_statsmodels(values, 3)
    np.testing.assert_allclose(granger_p_values(values), expected, rtol=1e-5, atol=1e-10)


def test_the_cause_is_told_from_the_effect():
    rng = np.random.default_rng(0)
    cause = rng.normal(size=200)
    effect = np.r_[0.0, cause[:-1]] + 0.3 * rng.normal(size=200)
    found = granger_causes(np.column_stack([cause, effect]))
    np.testing.assert_array_equal(found, [[False, True], [False, False]])


def test_correction_finds_no_more_and_little_in_noise():
    values = np.random.default_rng(1).normal(size=(200, 20))
    plain, corrected = granger_causes(values), granger_causes(values, false_discovery_rate=True)
    assert plain.sum() > 20  # three tests per pair at 5 %
    assert corrected.sum() <= 2
    assert not (corrected & ~plain).any()
    assert granger_causes(autoregression(3), false_discovery_rate=True).any()


def test_what_cannot_be_tested_is_no_cause():
    rng = np.random.default_rng(2)
    walk = rng.normal(size=60)
    late = np.zeros(60)
    late[-1] = 1.0  # constant in every lag
    perfect = np.r_[0.0, walk[:-1]]  # predicted without a residual
    values = np.column_stack([walk, late, perfect, walk * 2 + 1])
    found = granger_p_values(values)
    assert (found[:, 1] == 1).all()
    assert (found[:, :, 1] == 1).all()
    assert (found[:, 0, 2] == 1).all()
    assert (found[:, 0, 3] == 1).all()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("rows", [5, 6, 8, 11])
def test_lags_that_the_rows_do_not_carry_are_left_out(rows):
    found = granger_p_values(np.random.default_rng(3).normal(size=(rows, 3)))
    tested = [(found[lag - 1] < 1).any() for lag in (1, 2, 3)]
    assert tested == [rows > 4, rows > 7, rows > 10]


def test_too_few_rows_are_refused():
    with pytest.raises(MethodFailed, match="4 rows"):
        granger_p_values(np.ones((4, 2)))
