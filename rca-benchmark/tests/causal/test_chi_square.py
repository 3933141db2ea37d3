import numpy as np
import pytest

from rca_benchmark.causal.chi_square import chi_square


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("seed", range(40))
def test_p_values_are_those_of_causal_learn(seed):
    from causallearn.utils.cit import CIT

    rng = np.random.default_rng(seed)
    rows = int(rng.integers(8, 300))
    data = rng.integers(0, rng.integers(2, 6, size=5), size=(rows, 5))
    data[:, 1] = np.where(rng.random(rows) < 0.5, data[:, 0], data[:, 1])
    theirs = CIT(data, "chisq")
    for count in range(4):
        given = [2, 3, 4][:count]
        found = chi_square(data[:, 0], data[:, 1], [data[:, column] for column in given])[1]
        assert found == pytest.approx(theirs(0, 1, given), rel=1e-9, abs=1e-300)


def test_a_table_by_hand():
    # expected 2 in each cell: 4 * (3 - 2)^2 / 2 = 2 with one degree of freedom, p = 0.1573.
    first, second = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    assert chi_square(first, second) == pytest.approx((2.0, 0.157299), abs=1e-6)


def test_the_condition_explains_the_dependence():
    rng = np.random.default_rng(0)
    cause = rng.integers(0, 3, 2000)
    first, second = (np.where(rng.random(2000) < 0.8, cause, 0) for _ in range(2))
    assert chi_square(first, second)[1] < 1e-9
    assert chi_square(first, second, [cause])[1] > 0.01


def test_nothing_is_dependent_given_what_determines_it():
    first = np.array([0, 0, 0, 1, 1, 1])
    assert chi_square(first, np.array([0, 1, 2, 2, 3, 4]), [first]) == (0.0, 1.0)
    assert chi_square(first, np.zeros(6, dtype=int)) == (0.0, 1.0)
