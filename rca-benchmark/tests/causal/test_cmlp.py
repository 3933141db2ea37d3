import numpy as np
import pytest
from scipy.optimize import minimize

from rca_benchmark.causal import cmlp
from rca_benchmark.causal.cmlp import (
    Networks,
    first_networks,
    granger_causes,
    lagged,
    largest_penalty,
    loss_and_gradient,
    shrink_nested,
    train,
)
from rca_benchmark.errors import MethodFailed


def simulate(seed, rows, count, drive):
    """Noise with memory, every variable driven by some others; and who drives whom."""
    rng = np.random.default_rng(seed)
    causes = rng.random((count, count)) < 2 / count
    np.fill_diagonal(causes, val=False)
    weights = causes * rng.choice([-0.4, 0.4], (count, count))
    weights *= 0.5 / max(0.5, np.abs(np.linalg.eigvals(weights)).max())  # or else they explode
    values = np.zeros((rows + 50, count))
    for row in range(2, rows + 50):
        noise = rng.normal(0, 0.3, count)
        values[row] = 0.4 * values[row - 1] + drive(values[:row]) @ weights + noise
    values = values[50:]
    return (values - values.mean(0)) / values.std(0), causes


def area_under_the_curve(scores, truth):
    apart = ~np.eye(len(truth), dtype=bool)
    right, wrong = scores[apart & truth], scores[apart & ~truth]
    return (right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2


DRIVES = {
    "linear, lag 1": lambda past: past[-1],
    "linear, lag 2": lambda past: past[-2],
    "sine, lag 2": lambda past: np.sin(2 * past[-2]),
}


@pytest.mark.parametrize("name", sorted(DRIVES))
def test_who_drives_whom_is_found(name):
    areas, agreements = [], []
    for seed in range(3):
        values, causes = simulate(seed, 500, 8, DRIVES[name])
        past, target = lagged(values)
        start = first_networks(8, np.random.default_rng(seed))
        penalty = cmlp.PENALTY_SHARE * largest_penalty(past, target, start)
        trained = train(past, target, start, penalty)
        strength = np.sqrt((trained.first**2).sum(axis=(1, 3))).T
        found = (strength > 0) & ~np.eye(8, dtype=bool)
        areas.append(area_under_the_curve(strength, causes))
        agreements.append(2 * (found & causes).sum() / (found.sum() + causes.sum()))
    assert np.mean(areas) > 0.97
    assert np.mean(agreements) > 0.8


def test_causes_are_rows_and_effects_columns():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 3))
    noise[1:, 2] += 2 * noise[:-1, 0]
    found = granger_causes((noise - noise.mean(0)) / noise.std(0), rng) & ~np.eye(3, dtype=bool)
    assert np.argwhere(found).tolist() == [[0, 2]]


def test_the_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    past, target = lagged(rng.normal(size=(20, 3)))
    networks = first_networks(3, rng)
    networks.rest[:] += rng.normal(size=networks.rest.shape)
    _, slope = loss_and_gradient(networks, past, target)
    for name in ("first", "rest"):
        values, expected = getattr(networks, name), np.empty_like(getattr(networks, name))
        for place in np.ndindex(values.shape):
            kept, losses = values[place], []
            for moved in (kept + 1e-6, kept - 1e-6):
                values[place] = moved
                losses.append(loss_and_gradient(networks, past, target)[0].sum())
            values[place] = kept
            expected[place] = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose(getattr(slope, name), expected, atol=1e-7)


def test_shrinking_by_hand():
    """Lag 2 falls from 5 to 4; then both, of norm 5, to 4: (3, 4) becomes (2.4, 3.2)."""
    factors, penalty = shrink_nested(np.array([[[3.0, 5.0]]]), np.array(1.0))
    np.testing.assert_allclose(factors, [[[0.8, 0.64]]])
    np.testing.assert_allclose(penalty, [[4.0 + 3.2]])


def test_what_is_below_the_threshold_is_exactly_zero():
    factors, penalty = shrink_nested(np.array([[[0.9, 0.5], [3.0, 0.5]]]), np.array(1.0))
    np.testing.assert_allclose(factors, [[[0, 0], [2 / 3, 0]]])
    np.testing.assert_allclose(penalty, [[0, 2.0]])


@pytest.mark.parametrize("seed", range(5))
def test_shrinking_minimises_distance_plus_penalty(seed):
    rng = np.random.default_rng(seed)
    given, threshold = np.abs(rng.normal(0, 2, 4)), 0.4

    def objective(kept):
        norms = sum(np.sqrt((kept[lag:] ** 2).sum() + 1e-16) for lag in range(4))
        return ((kept - given) ** 2).sum() / 2 + threshold * norms

    best = minimize(objective, given, method="Powell", options={"xtol": 1e-9, "ftol": 1e-14})
    factors, _ = shrink_nested(given[None, None], np.array(threshold))
    shrunk = given * factors[0, 0]
    assert objective(shrunk) <= best.fun + 1e-9
    np.testing.assert_allclose(shrunk, best.x, atol=1e-3)


def test_the_largest_penalty_is_where_the_first_edge_appears():
    """One step from weights of 0, the outputs being what each own past predicts."""
    rng = np.random.default_rng(0)
    past, target = lagged(rng.normal(size=(80, 4)))
    start = first_networks(4, rng)
    limit = largest_penalty(past, target, start)
    residual = np.empty_like(target)
    for place in range(4):
        design = np.column_stack([np.ones(len(target)), past[:, place]])
        residual[:, place] = target[:, place] - design @ np.linalg.pinv(design) @ target[:, place]
    silent = Networks(np.zeros_like(start.first), start.rest)
    slope = loss_and_gradient(silent, past, residual)[1].first
    norms = np.sqrt((slope**2).sum(axis=1))
    apart = ~np.eye(4, dtype=bool)
    assert not shrink_nested(norms, np.array(limit * 1.0001))[0][apart].any()
    assert shrink_nested(norms, np.array(limit * 0.9999))[0][apart].any()


def test_the_descent_ends_where_no_step_leads_on():
    values, _ = simulate(0, 200, 4, DRIVES["linear, lag 1"])
    past, target = lagged(values)
    start = first_networks(4, np.random.default_rng(0))

    def total(networks):
        norms = np.sqrt((networks.first**2).sum(axis=1))
        penalties = shrink_nested(norms, np.array(0.0))[1].sum(axis=1)
        return (loss_and_gradient(networks, past, target)[0] + 0.2 * penalties).sum()

    end = total(train(past, target, start, 0.2))
    assert end < 0.8 * total(start)
    assert total(train(past, target, train(past, target, start, 0.2), 0.2)) > 0.99 * end


def test_few_rows_are_refused():
    values = np.random.default_rng(0).normal(size=(11, 3))
    with pytest.raises(MethodFailed, match="11 rows are too few; needed are 12"):
        granger_causes(values, np.random.default_rng(0))


def test_fewer_rows_than_weights_are_answered():
    values = np.random.default_rng(0).normal(size=(14, 30))
    assert granger_causes(values, np.random.default_rng(0)).shape == (30, 30)


def test_each_network_gets_as_far_as_it_does_alone():
    values, _ = simulate(0, 200, 5, DRIVES["linear, lag 1"])
    past, target = lagged(values)
    start = first_networks(5, np.random.default_rng(0))
    penalty = cmlp.PENALTY_SHARE * largest_penalty(past, target, start)

    def reached(networks, wanted):
        loss, _ = loss_and_gradient(networks, past, wanted)
        norms = np.sqrt((networks.first**2).sum(axis=1))
        return loss + penalty * shrink_nested(norms, np.array(0.0))[1].sum(axis=1)

    together = reached(train(past, target, start, penalty), target)
    for place in range(5):
        one = Networks(start.first[[place]], start.rest[[place]])
        alone = reached(train(past, target[:, [place]], one, penalty), target[:, [place]])
        np.testing.assert_allclose(alone, together[place], rtol=1e-3)
