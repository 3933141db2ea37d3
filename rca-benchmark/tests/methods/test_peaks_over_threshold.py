import numpy as np
import pytest

from rca_benchmark.methods.peaks_over_threshold import RISK, thresholds


@pytest.mark.parametrize("tail", ["uniform", "exponential", "normal"])
def test_a_threshold_is_exceeded_about_as_often_as_asked_for(tail):
    rng = np.random.default_rng(0)
    draw = {"uniform": rng.uniform, "exponential": rng.exponential, "normal": rng.normal}[tail]
    found = thresholds(draw(size=(2000, 400)))
    sample = np.sort(draw(size=1_000_000))
    shares = 1 - np.searchsorted(sample, found) / len(sample)
    assert 0.6 * RISK < np.median(shares) < 1.6 * RISK
    # an empirical quantile of 2000 values would do no better: it has two values beyond it
    assert np.mean(shares < 4 * RISK) > 0.95


def test_equal_to_a_fit_of_the_generalised_pareto_distribution_in_its_limit():
    from scipy.stats import genpareto

    sample = genpareto.ppf((np.arange(50_000) + 0.5) / 50_000, 0.2, scale=3.0)[:, None]
    assert thresholds(sample)[0] == pytest.approx(genpareto.isf(RISK, 0.2, scale=3.0), rel=0.02)


def test_scale_and_offset_carry_over():
    values = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_allclose(thresholds(7 * values + 2), 7 * thresholds(values) + 2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [2, 3, 5, 11, 40])
def test_short_and_flat_windows(rows):
    rng = np.random.default_rng(0)
    flat, step = np.ones(rows), np.arange(rows) == rows - 1
    found = thresholds(np.column_stack([flat, step, rng.normal(size=rows)]))
    assert np.isfinite(found).all()
    assert found[0] == 1
    assert (found >= 0).all() or rows < 11
