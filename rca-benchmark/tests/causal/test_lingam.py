import numpy as np
import pytest

from rca_benchmark.causal.lingam import direct_order, effects_in_order, ica_order
from rca_benchmark.errors import MethodFailed


def model(seed, rows=400, count=7, density=0.4):
    """Standardised data of a linear model with uniform noise; coefficients ``[cause, effect]``."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    effects = np.zeros((count, count))
    values = rng.uniform(-1, 1, (rows, count))
    for place, node in enumerate(order):
        causes = order[:place][rng.random(place) < density]
        effects[causes, node] = rng.choice([-1, 1], len(causes)) * rng.uniform(
            0.5, 1.5, len(causes)
        )
        values[:, node] += values[:, causes] @ effects[causes, node]
    return (values - values.mean(axis=0)) / values.std(axis=0), effects


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(25))
def test_ica_lingam_is_that_of_package_lingam_under_the_same_seed(seed):
    lingam = pytest.importorskip("lingam")
    values, _ = model(seed, count=4 + seed % 8)
    expected = lingam.ICALiNGAM(random_state=seed).fit(values)
    order = ica_order(values, seed)
    assert order.tolist() == list(map(int, expected.causal_order_))
    effects = effects_in_order(values.T @ values / len(values), len(values), order)
    np.testing.assert_allclose(effects.T, expected.adjacency_matrix_, atol=1e-8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(15))
def test_direct_lingam_is_that_of_package_lingam(seed):
    lingam = pytest.importorskip("lingam")
    values, _ = model(seed, count=4 + seed % 8, rows=200 + 20 * seed)
    expected = lingam.DirectLiNGAM().fit(values)
    order = direct_order(values)
    assert order.tolist() == list(map(int, expected.causal_order_))
    effects = effects_in_order(values.T @ values / len(values), len(values), order)
    np.testing.assert_allclose(effects.T, expected.adjacency_matrix_, atol=1e-8)


@pytest.mark.parametrize("name", ["ica", "direct"])
def test_the_true_model_is_found(name):
    right = 0
    for seed in range(10):
        values, effects = model(seed, rows=2000, count=6)
        order = ica_order(values, 0) if name == "ica" else direct_order(values)
        place = np.argsort(order)
        causes, later = np.nonzero(effects)
        right += bool((place[causes] < place[later]).all())
    assert right >= 8


@pytest.mark.slow
def test_a_real_case_has_the_order_of_package_lingam(fault_data):
    lingam = pytest.importorskip("lingam")
    from rca_benchmark.causal.series import complete_series, independent_columns
    from rca_benchmark.dataset import find_cases, read_case

    case = read_case(find_cases(fault_data / "rcd-ss")[0])
    series = complete_series(case.observation.metrics)
    columns = independent_columns(series.correlations, len(series.values))[:12]
    values = series.values[:, columns]
    expected = lingam.DirectLiNGAM().fit(values)
    assert direct_order(values).tolist() == list(map(int, expected.causal_order_))


def test_the_seed_of_ica_decides_nothing_where_the_model_is_clear():
    values, _ = model(3, rows=2000, count=5)
    assert len({tuple(ica_order(values, seed).tolist()) for seed in range(5)}) == 1


def test_a_component_that_is_found_twice_gives_no_order(monkeypatch):
    class BrokenDown:
        def __init__(self, **_):
            self.components_ = np.array([[1.0, 0.0], [1.0, 0.0]])

        def fit(self, _):
            return self

    monkeypatch.setattr("sklearn.decomposition.FastICA", BrokenDown)
    with pytest.raises(MethodFailed, match="the same component twice"):
        ica_order(model(0, count=2)[0], 0)


def test_two_series_are_ordered():
    values, effects = model(1, rows=1000, count=2, density=1.0)
    cause = int(np.flatnonzero(effects.any(axis=1))[0])
    assert direct_order(values)[0] == cause
    assert ica_order(values, 0)[0] == cause
