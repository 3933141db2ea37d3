import numpy as np
import pytest

from rca_benchmark.causal.context import critical_by_t, rank_by_context


def standard(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def chain(seed, rows=400, noise=3):
    """Context -> 0 -> 1 -> 2, and others apart from them."""
    rng = np.random.default_rng(seed)
    context = np.arange(rows, dtype=float)
    first = standard(context) + rng.normal(size=rows)
    second = first + rng.normal(size=rows)
    third = second + rng.normal(size=rows)
    return standard(
        np.column_stack([first, second, third, rng.normal(size=(rows, noise))])
    ), context


@pytest.mark.parametrize("seed", range(10))
def test_the_direct_effect_comes_first_and_then_what_follows_from_it(seed):
    order = rank_by_context(*chain(seed), 0.001, 4)
    assert order[0] == 0
    assert set(order[1:3]) == {1, 2}  # separated by a set of one; the others by none
    assert sorted(order) == list(range(6))


def test_both_direct_effects_come_first_however_weak():
    rng = np.random.default_rng(0)
    context = np.arange(2000, dtype=float)
    strong = standard(context) * 2 + rng.normal(size=2000)
    weak = standard(context) * 0.5 + rng.normal(size=2000)
    after = strong + rng.normal(size=2000)
    order = rank_by_context(standard(np.column_stack([after, weak, strong])), context, 0.001, 4)
    assert order == [2, 1, 0]


@pytest.mark.parametrize("count", range(3))
def test_the_bound_is_that_of_a_regression_coefficient(count):
    """A partial correlation at the bound has the p-value alpha in the linear regression."""
    import statsmodels.api as sm

    rng = np.random.default_rng(count)
    rows = 40
    given = rng.normal(size=(rows, count))
    first, second = rng.normal(size=(2, rows))
    design = np.column_stack([np.ones(rows), given])
    rest = [one - design @ np.linalg.lstsq(design, one, rcond=None)[0] for one in (first, second)]
    correlation = abs(np.corrcoef(*rest)[0, 1])
    fit = sm.OLS(first, np.column_stack([second, design])).fit()
    p_value = float(fit.pvalues[0])
    assert correlation == pytest.approx(critical_by_t(rows, count, p_value), rel=1e-9)


def test_an_equal_of_the_context_is_first_and_separates_the_rest():
    values, context = chain(0)
    values = np.column_stack([values, standard(context)])
    assert rank_by_context(values, context, 0.001, 4)[0] == 6


def test_as_few_rows_as_there_may_be_are_answered():
    values = standard(np.random.default_rng(0).normal(size=(4, 10)))
    assert sorted(rank_by_context(values, np.arange(4.0), 0.001, 4)) == list(range(10))
