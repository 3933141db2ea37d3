import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.evaluation.statistics import (
    bootstrap_mean,
    compare_methods,
    holm,
    mcnemar,
    paired_difference,
    wilson,
)


def test_wilson_agrees_with_published_values():
    """Newcombe, Statistics in Medicine 17 (1998), Table I: 81/263, 15/148, 0/20, 1/29."""
    for right, cases, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = wilson(right / cases, cases)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 60), st.floats(0, 1))
def test_wilson_holds_the_mean_and_stays_between_0_and_1(cases, mean):
    found = wilson(mean, cases)
    assert 0 <= found.low <= mean <= found.high <= 1
    assert found.high - found.low > 0


@pytest.mark.parametrize(("mean", "cases"), [(0.5, 0), (1.1, 5), (-0.1, 5), (float("nan"), 5)])
def test_wilson_refuses_what_is_no_share(mean, cases):
    with pytest.raises(ValueError, match="no Wilson interval"):
        wilson(mean, cases)


def test_the_bootstrap_is_seeded():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_the_bootstrap_agrees_with_the_normal_interval_for_many_values():
    values = np.random.default_rng(0).normal(5, 2, 4000)
    found = bootstrap_mean(values, seed=0)
    half = 1.96 * values.std() / 4000**0.5
    assert found.low == pytest.approx(values.mean() - half, abs=half / 5)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 5)


def test_the_bootstrap_needs_a_value():
    with pytest.raises(ValueError, match="no value"):
        bootstrap_mean([], seed=0)


def test_mcnemar_is_the_exact_binomial_test():
    first, second = [1] * 9 + [0] * 1 + [1, 0], [0] * 9 + [1] * 1 + [1, 0]
    # Twice the tail of at most 1 in 10 tosses: 1 + 10 of 1024.
    assert mcnemar(first, second) == (9, 1, pytest.approx(22 / 1024))
    assert mcnemar([1, 0], [1, 0]) == (0, 0, 1)
    assert mcnemar([1, 0], [0, 1]) == (1, 1, 1)


def test_holm_corrects_and_keeps_the_order_given():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_cases_must_be_the_same():
    with pytest.raises(ValueError, match="not the same cases"):
        paired_difference([1, 0], [1], first_right=[1, 0], second_right=[1], seed=0)
    with pytest.raises(ValueError, match="not the same cases"):
        mcnemar([1, 0], [1])


def scored(**methods):
    return pd.DataFrame(
        [
            {"dataset": "d", "case": str(case), "fault": "cpu", "target": "a", "tdelta": 0.0,
             "length": pd.NA, "method": name, "avg5": value, "ac1": float(value == 1)}
            for name, values in methods.items()
            for case, value in enumerate(values)
        ]
    )  # fmt: skip


def test_every_pair_is_compared_on_the_cases_that_both_have():
    table = compare_methods(scored(b=[1, 1, 1, 1, 0.4], a=[0, 0, 0, 0], c=[0]))
    assert table[["first", "second", "cases"]].to_numpy().tolist() == [
        ["a", "b", 4],
        ["a", "c", 1],
        ["b", "c", 1],
    ]
    first = table.iloc[0]
    assert (first["difference"], first["low"], first["high"]) == (-1, -1, -1)
    assert (first["first_only"], first["second_only"], first["p_value"]) == (0, 4, 0.125)
    assert first["p_holm"] == pytest.approx(0.375)


def test_methods_without_a_case_in_common_are_not_compared():
    table = scored(a=[1, 0], b=[1, 0])
    apart = table[(table["method"] == "a") == (table["case"] == "0")]
    assert compare_methods(apart).empty


def test_two_rows_of_a_method_for_one_case_are_refused():
    table = scored(a=[1], b=[0])
    with pytest.raises(ValueError, match="two rows"):
        compare_methods(pd.concat([table, table]))
