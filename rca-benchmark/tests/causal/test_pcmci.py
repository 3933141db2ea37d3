import numpy as np
import pytest
from tigramite import data_processing
from tigramite.independence_tests.parcorr import ParCorr
from tigramite.pcmci import PCMCI

from rca_benchmark.causal.graph import Mark
from rca_benchmark.causal.pcmci import pcmci
from rca_benchmark.errors import MethodFailed


def autoregression(seed, rows=200, count=5):
    rng = np.random.default_rng(seed)
    links = rng.normal(0, 0.6, (2, count, count)) * (rng.random((2, count, count)) < 0.2)
    values = rng.normal(size=(rows + 50, count))
    for row in range(2, rows + 50):
        values[row] += np.tanh(values[row - 1] @ links[0] + values[row - 2] @ links[1])
    return values[50:]


def by_tigramite(values, most_lags, pc_alpha=0.1):
    frame = data_processing.DataFrame(values)
    engine = PCMCI(dataframe=frame, cond_ind_test=ParCorr(significance="analytic"), verbosity=0)
    return engine.run_pcmci(tau_max=most_lags, pc_alpha=pc_alpha, alpha_level=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_links_are_those_of_tigramite(seed):
    most_lags = 1 + seed % 4
    values = autoregression(seed, rows=60 + 40 * seed, count=3 + seed % 6)
    expected = by_tigramite(values, most_lags)
    found = pcmci(values, most_lags)
    tied = np.abs(expected["p_matrix"] - 0.05) < 1e-9
    same = found.links == (expected["p_matrix"] <= 0.05)
    assert not tied.any()
    itself = np.arange(values.shape[1])
    same[itself, itself, 0] = True
    assert same.all()
    lagged = np.ones(same.shape, dtype=bool)
    lagged[itself, itself, 0] = False
    np.testing.assert_allclose(
        found.p_values[lagged], expected["p_matrix"][lagged], rtol=1e-6, atol=1e-12
    )
    np.testing.assert_allclose(
        found.statistics[lagged], expected["val_matrix"][lagged], rtol=1e-6, atol=1e-9
    )


@pytest.mark.slow
def test_a_real_case_has_the_links_of_tigramite(fault_data):
    from rca_benchmark.causal.series import complete_series
    from rca_benchmark.dataset import find_cases, read_case

    case = read_case(find_cases(fault_data / "rcd-ss")[0])
    values = complete_series(case.observation.metrics).values[:, :8]
    expected = by_tigramite(values, 5)
    found = pcmci(values, 5)
    differ = found.links != (expected["p_matrix"] <= 0.05)
    differ[np.arange(8), np.arange(8), 0] = False
    assert not differ.any()


def test_a_lagged_cause_is_told_from_its_effect_and_the_lag_is_right():
    rng = np.random.default_rng(0)
    cause, other = rng.normal(size=(2, 400))
    effect = np.r_[0, 0, cause[:-2]] + 0.3 * rng.normal(size=400)
    found = pcmci(np.column_stack([cause, effect, other]), 3)
    assert found.links[0, 1].tolist() == [False, False, True, False]
    assert not found.links[1, 0].any()
    graph = found.graph(("cause", "effect", "other"))
    assert graph.parents[0, 1]
    assert graph.weights[0, 1] == pytest.approx(abs(found.statistics[0, 1, 2]))


def test_a_link_without_a_lag_has_no_direction():
    rng = np.random.default_rng(2)
    first = rng.normal(size=300)
    graph = pcmci(np.column_stack([first, first + 0.5 * rng.normal(size=300)]), 2).graph(("a", "b"))
    assert graph.marks[0, 1] == graph.marks[1, 0] == Mark.TAIL


def test_series_that_determine_each_other_keep_their_links():
    values = autoregression(4, count=3)
    values = np.column_stack([values, values[:, 0] + values[:, 1]])
    found = pcmci(values, 2)
    assert np.isfinite(found.p_values).all()
    assert found.links[0, 3, 0]


def test_too_few_rows_are_refused():
    with pytest.raises(MethodFailed, match="9 rows"):
        pcmci(np.ones((9, 2)), 3)
