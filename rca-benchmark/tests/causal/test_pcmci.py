import numpy as np
import pytest

from rca_benchmark.causal.graph import Mark
from rca_benchmark.causal.lagged import (
    correlations_without_each,
    lagged_correlations,
    p_values,
    partial_correlations,
)
from rca_benchmark.causal.pcmci import most_conditions, pcmci
from rca_benchmark.errors import MethodFailed

NEAR = 1e-9  # p-values this near to a level may fall on either side of it


def autoregressive(seed, count, rows):
    """Series that depend on up to three rows before, of themselves and of others."""
    rng = np.random.default_rng(seed)
    coefficients = np.zeros((3, count, count))
    coefficients[0] += np.diag(rng.uniform(0.2, 0.6, count))
    for _ in range(2 * count):
        place = rng.integers(3), rng.integers(count), rng.integers(count)
        coefficients[place] += rng.uniform(-0.3, 0.3)
    values = rng.normal(size=(rows + 100, count))
    for row in range(3, len(values)):
        for lag in range(3):
            values[row] += 0.8 * coefficients[lag] @ values[row - 1 - lag]
    return values[100:]


def tigramite_results(values, lags, parent_alpha, alpha):
    from tigramite.data_processing import DataFrame
    from tigramite.independence_tests.parcorr import ParCorr
    from tigramite.pcmci import PCMCI

    most = most_conditions(len(values), lags)
    search = PCMCI(DataFrame(values.copy()), ParCorr(significance="analytic"), verbosity=0)
    return search.run_pcmci(
        tau_max=lags, pc_alpha=parent_alpha, alpha_level=alpha,
        max_conds_dim=most, max_conds_py=most, max_conds_px=most,
    )  # fmt: skip


def assert_equal_to_tigramite(values, lags, parent_alpha=0.1, alpha=0.05):
    found = pcmci(values, lags, parent_alpha=parent_alpha, alpha=alpha)
    expected = tigramite_results(values, lags, parent_alpha, alpha)
    np.testing.assert_allclose(found.p_values, expected["p_matrix"], atol=1e-8)
    np.testing.assert_allclose(found.statistics, expected["val_matrix"], atol=1e-8)
    tie = np.abs(expected["p_matrix"] - alpha) < NEAR
    assert not tie.any()
    np.testing.assert_array_equal(found.links, expected["graph"] != "")
    assert found.links.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("rows", "lags"), [(60, 5), (200, 2), (500, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_tigramite(seed, rows, lags):
    assert_equal_to_tigramite(autoregressive(seed, 4 + 2 * seed, rows), lags)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equal_to_tigramite_where_the_number_of_conditions_is_bounded():
    values = autoregressive(0, 6, 40)
    assert most_conditions(40, 5) == 6
    assert_equal_to_tigramite(values, 5, parent_alpha=0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equal_to_tigramite_on_a_measured_case(fault_data):
    from rca_benchmark.causal.series import complete_series
    from rca_benchmark.dataset import find_cases, read_case

    case = read_case(find_cases(fault_data / "rcd-ss")[0])
    series = complete_series(case.observation.metrics)
    assert_equal_to_tigramite(np.array(series.values)[:, :16], 5)


def test_a_chain_is_found_with_its_lags_and_direction():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1002, 3))
    values = noise.copy()
    values[2:, 1] += noise[:-2, 0]  # two rows later
    values[3:, 2] += values[2:-1, 1]  # one row later
    found = pcmci(values[3:], 3, parent_alpha=0.1, alpha=1e-6)
    assert {tuple(place) for place in np.argwhere(found.links)} == {(0, 1, 2), (1, 2, 1)}
    graph = found.to_graph(("a", "b", "c"))
    np.testing.assert_array_equal(graph.parents, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_what_only_coincides_has_no_direction():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, 2))
    values[:, 1] += values[:, 0]
    graph = pcmci(values, 2, parent_alpha=0.1, alpha=1e-6).to_graph(("a", "b"))
    np.testing.assert_array_equal(graph.marks, [[Mark.NONE, Mark.TAIL], [Mark.TAIL, Mark.NONE]])


def test_each_leads_the_other():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(1000, 2))
    for row in range(1, len(values)):
        values[row] += 0.5 * values[row - 1, ::-1]
    graph = pcmci(values, 1, parent_alpha=0.1, alpha=1e-6).to_graph(("a", "b"))
    np.testing.assert_array_equal(graph.marks, [[Mark.NONE, Mark.ARROW], [Mark.ARROW, Mark.NONE]])


def test_scale_and_offset_play_no_part():
    values = autoregressive(3, 5, 200)
    first = pcmci(values, 3, parent_alpha=0.1, alpha=0.05)
    second = pcmci(values * [1e-3, 1, 10, 1e3, 7] + 4, 3, parent_alpha=0.1, alpha=0.05)
    np.testing.assert_allclose(first.statistics, second.statistics, atol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [6, 7, 12, 31])
def test_more_series_than_rows(rows):
    values = np.random.default_rng(0).normal(size=(rows, 40))
    found = pcmci(values, max(1, rows // 6), parent_alpha=0.1, alpha=0.05)
    assert np.isfinite(found.p_values).all()
    assert np.isfinite(found.statistics).all()
    assert found.links.mean() < 0.1


@pytest.mark.filterwarnings("error")
def test_what_others_determine_is_no_link_and_no_error():
    rng = np.random.default_rng(0)
    cycle = np.sin(np.arange(200) / 5)  # each value follows from the two before it
    line = np.arange(200.0)
    late = np.zeros(200)
    late[:3] = 1.0  # varies only in rows that no test uses
    total = rng.normal(size=(200, 2))
    values = np.column_stack([cycle, line, late, total, total.sum(axis=1)])
    found = pcmci(values, 3, parent_alpha=0.1, alpha=0.05)
    assert np.isfinite(found.p_values).all()
    assert not found.links[2].any()
    assert not found.links[:, 2].any()


def test_too_few_rows_are_refused():
    with pytest.raises(MethodFailed, match="9 rows are too few for lags of 3"):
        pcmci(np.random.default_rng(0).normal(size=(9, 2)), 3, parent_alpha=0.1, alpha=0.05)


def test_lagged_correlations_are_those_of_the_shifted_rows():
    values = np.random.default_rng(0).normal(size=(50, 3))
    found = lagged_correlations(values, 4)
    assert found[1, 2 * 3 + 2] == pytest.approx(np.corrcoef(values[4:, 1], values[2:-2, 2])[0, 1])


def residual_correlation(values, one, other, given):
    design = np.column_stack([np.ones(len(values)), values[:, given]])
    left = values - design @ np.linalg.lstsq(design, values)[0]
    return np.corrcoef(left[:, one], left[:, other])[0, 1]


def test_partial_correlations_are_those_of_residuals():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 6)) @ rng.normal(size=(6, 6))
    correlations = np.corrcoef(values.T)
    found = partial_correlations(correlations, 0, np.array([1, 2]), np.array([3, 4, 5]))
    assert found[0] == pytest.approx(residual_correlation(values, 0, 1, [3, 4, 5]))
    assert found[1] == pytest.approx(residual_correlation(values, 0, 2, [3, 4, 5]))
    each = correlations_without_each(correlations, 0, np.array([1, 3, 5]))
    assert each[1] == pytest.approx(residual_correlation(values, 0, 3, [1, 5]))


def test_a_condition_that_others_determine_changes_nothing():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 5))
    values[:, 0] += values[:, 1] + values[:, 2]
    values[:, 4] = values[:, 2] + values[:, 3]
    correlations = np.corrcoef(values.T)
    one = np.array([1])
    found = partial_correlations(correlations, 0, one, np.array([2, 3, 4]))
    assert found == pytest.approx(partial_correlations(correlations, 0, one, np.array([2, 3])))
    determined = partial_correlations(correlations, 0, np.array([4]), np.array([2, 3]))
    assert determined == 0
    each = correlations_without_each(correlations, 0, np.array([1, 2, 3, 4]))
    assert each[0] == pytest.approx(found[0])
    assert list(each[1:]) == [0, 0, 0]


@pytest.mark.filterwarnings("error")
def test_p_values_are_those_of_a_correlation_test():
    from scipy.stats import pearsonr

    values = np.random.default_rng(0).normal(size=(20, 2))
    correlation, expected = pearsonr(*values.T)
    assert p_values(np.array([correlation]), np.array([18])) == pytest.approx(expected)
    np.testing.assert_allclose(p_values(np.array([1.0, 0.0, 0.9]), np.array([5, 5, 0])), [0, 1, 1],
                               atol=1e-12)  # fmt: skip
