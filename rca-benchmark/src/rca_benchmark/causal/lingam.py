"""Linear non-Gaussian acyclic models: the causal order from independent components."""

from __future__ import annotations

import heapq
import warnings
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.adaptive_lasso import adaptive_lasso
from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

ITERATIONS: Final = 1000


def ica_order(values: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Causal order of ICA-LiNGAM, causes first.

    Shimizu, Hoyer, Hyvarinen, Kerminen, JMLR 2006, algorithms A to C: FastICA; the rows of the
    unmixing matrix permuted so that its diagonal is large; then as many of its small entries taken
    for 0 as it takes for the rest to be acyclic. Where FastICA does not converge in 1,000
    iterations, which short windows bring about, its last iterate is used.

    Args:
        values: T x N, T > N, of full rank, N at least 2.
        seed: of FastICA's start.

    Raises:
        MethodFailed: FastICA breaks down, or finds a component twice, which both depend on the last
            bits of the arithmetic and so on the processor.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    ica = FastICA(max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        unmixing = ica.fit(values).components_
    if not np.isfinite(unmixing).all():
        raise MethodFailed("independent component analysis broke down: the data are near-singular")
    if np.linalg.matrix_rank(unmixing) < len(unmixing):
        raise MethodFailed("independent component analysis found the same component twice")
    size = np.maximum(np.abs(unmixing), np.finfo(np.float64).tiny)
    _, places = linear_sum_assignment(1 / size)
    permuted = np.empty_like(unmixing)
    permuted[places] = unmixing
    effects = np.eye(len(permuted)) - permuted / permuted.diagonal()[:, None]
    return _acyclic_order(effects)


def direct_order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Causal order of DirectLiNGAM, causes first.

    Shimizu et al., JMLR 2011, with the pairwise measure of Hyvarinen, Smith, JMLR 2013, section 3:
    time and again the series whose residuals carry the least information about it is taken, and
    regressed out of the others.

    Args:
        values: T x N of full rank, each column with mean 0 and standard deviation 1.
    """
    left = np.asfortranarray(values)
    names = np.arange(values.shape[1])
    order = []
    while len(names) > 1:
        root = int(np.argmin(_dependence(left)))
        order.append(int(names[root]))
        others = np.arange(len(names)) != root
        slopes = left[:, root] @ left[:, others] / len(left)
        residual = left[:, others] - np.outer(left[:, root], slopes)
        residual -= residual.mean(axis=0)
        left = np.asfortranarray(residual / residual.std(axis=0))
        names = names[others]
    return np.array([*order, *names.tolist()], dtype=np.int64)


def effects_in_order(
    correlations: NDArray[np.float64], rows: int, order: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Effects of each series on later ones: ``[i, j]`` is the coefficient of i in j.

    Args:
        correlations: N x N, of standardised series.
        rows: from how many they were computed; more than N + 1.
        order: causes first.
    """
    found = np.zeros(correlations.shape)
    for place in range(1, len(order)):
        causes, effect = order[:place], int(order[place])
        found[causes, effect] = adaptive_lasso(correlations, rows, causes, effect)
    return found


def _acyclic_order(effects: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order that is left when the fewest of the smallest entries are taken for 0."""
    count = len(effects)
    ranks = np.empty(effects.shape, dtype=np.int64)
    ranks.flat[np.argsort(np.abs(effects), axis=None)] = np.arange(effects.size)
    few, many = count * (count + 1) // 2, effects.size
    while few < many:  # taking more for 0 never makes a cycle: bisect
        middle = (few + many) // 2
        if len(_topological((ranks >= middle) & (effects != 0))) == count:
            many = middle
        else:
            few = middle + 1
    return np.array(_topological((ranks >= many) & (effects != 0)), dtype=np.int64)


def _topological(causes: NDArray[np.bool_]) -> list[int]:
    """Nodes after all of their causes (``causes[i, j]``: j causes i), the first free one next."""
    waiting = causes.sum(axis=1)
    free = np.flatnonzero(waiting == 0).tolist()
    order = []
    while free:
        node = heapq.heappop(free)
        order.append(node)
        for effect in np.flatnonzero(causes[:, node]):
            waiting[effect] -= 1
            if waiting[effect] == 0:
                heapq.heappush(free, int(effect))
    return order


def _dependence(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much information the residuals of the others carry about each series.

    Entropies are the approximation of Hyvarinen 1998 with the constants of DirectLiNGAM.
    """
    rows, count = values.shape
    correlations = np.clip(values.T @ values / rows, -1.0, 1.0)
    spread = np.sqrt(np.maximum(1.0 - correlations**2, np.finfo(np.float64).tiny))
    own = _entropy(values)
    residual = np.empty((count, count))  # entropy of row's residual on column
    for cause in range(count):
        off = values - values[:, [cause]] * correlations[cause]
        residual[:, cause] = _entropy(off / spread[cause])
    difference = own[None, :] + residual - own[:, None] - residual.T
    np.fill_diagonal(difference, 0.0)
    information: NDArray[np.float64] = (np.minimum(difference, 0.0) ** 2).sum(axis=1)
    return information


def _entropy(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Approximate differential entropy of each column, of mean 0 and standard deviation 1."""
    size = np.abs(values)
    log_cosh = (size + np.log1p(np.exp(-2.0 * size))).mean(axis=0) - np.log(2.0)
    skew = (values * np.exp(-0.5 * values * values)).mean(axis=0)
    entropy: NDArray[np.float64] = (
        (1.0 + np.log(2.0 * np.pi)) / 2.0 - 79.047 * (log_cosh - 0.37457) ** 2 - 7.4129 * skew**2
    )
    return entropy
