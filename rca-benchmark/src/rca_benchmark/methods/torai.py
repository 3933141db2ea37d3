"""TORAI: services clustered by how severe their symptoms are, then ordered within a cluster."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.methods.deviation import deviations, mean_and_deviation
from rca_benchmark.methods.multi_source import LEAST_SCALE, windows_by_source
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.methods.rcd import rcd
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

ITERATIONS: Final = 50
MOST_CLUSTERS: Final = 10
PATIENCE: Final = 2
SEED: Final = 0


@method(
    name="torai",
    sources=("metrics", "logs", "traces"),
    paper="Pham, Ha, Zhang, Zhang: TORAI, FSE 2026, arXiv 2604.13522",
    uses_inject_time=True,
    stochastic=False,
    cost="seconds",
)
def torai(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the severity of their cluster, then by causal analysis within it.

    The severity of a series is its largest absolute standard score. Each service has one severity
    per source: metrics, log lines, failed spans, span durations; those of a source sum to 1 over
    all services. A Gaussian mixture over these, with as many components as BIC prefers, groups the
    services; clusters come by their mean severity, their services by RCD's order. A service's
    indicators are ordered by their own severity, the paper's hypothesis test.

    Parameters:
        iterations: 50; most of the mixture's (RCAEval 1.8.1: 50).
        clusters: 1 to 10, by BIC, until two more in a row make it worse (RCAEval 1.8.1: 1 to the
            number of services).

    Cost:
        That of ``rcd`` and of 10 mixtures over S services with 4 features.

    Decisions:
        * Built from the paper's abstract and the behaviour of RCAEval 1.8.1; the paper's text was
          not at hand.
        * RCD is run once over all indicators instead of once in each cluster: its order within a
          cluster is what is used.
        * The start of the mixture and RCD's chunks are fixed: a case always has the same answer.
        * Severities of metrics are averaged over a service's indicators rather than summed, so that
          a service with many has no head start.

    Earlier implementations:
        * RCAEval 1.8.1: RCD is used within a cluster only if it returns every service of it; its
          chunks are not seeded. A failure rate that was 0 before is multiplied by 1e9.

    Raises:
        MethodFailed: there is no inject time, no indicator varies, or no candidate has one.
    """
    fixed = np.random.default_rng(SEED)
    names = candidate_indicators(observation)
    services = sorted({service_of(name) for name in names})
    causal = {name: place for place, name in enumerate(rcd(observation, fixed).services)}
    severity, by_indicator = _severities(observation, services)
    cluster = _clusters(severity, SEED)
    total = severity.sum(axis=1)
    means = [float(total[cluster == label].mean()) for label in cluster]
    order = sorted(
        range(len(services)),
        key=lambda place: (
            -means[place],
            causal.get(services[place], len(services)),
            services[place],
        ),
    )
    scores = {services[place]: -float(rank) for rank, place in enumerate(order)}
    return rank_by_service(scores, by_indicator, observation)


def _severities(
    observation: Observation, services: list[str]
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Services x sources, each column with sum 1 or 0; and the severity of each indicator."""
    found = np.zeros((len(services), len(LEAST_SCALE)))
    by_indicator: dict[str, float] = {}
    for column, (source, least) in enumerate(LEAST_SCALE.items()):
        windows = windows_by_source(observation).get(source)
        if windows is None:
            continue
        center, scale = mean_and_deviation(windows.normal.to_numpy())
        scores = np.abs(deviations(windows, center, np.maximum(scale, least)))
        severity = dict(zip(windows.indicators, np.nanmax(scores, axis=0).tolist(), strict=True))
        if source == "metrics":
            by_indicator = severity
        for row, service in enumerate(services):
            own = [value for name, value in severity.items() if service_of(name) == service]
            found[row, column] = np.mean(own) if own else 0.0
    total = found.sum(axis=0)
    return found / np.where(total > 0, total, 1.0), by_indicator


def _clusters(severity: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The component of each service in the mixture with the least BIC."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    best = np.zeros(len(severity), dtype=np.int64)
    least, worse = np.inf, 0
    for count in range(1, min(MOST_CLUSTERS, len(severity) - 1) + 1):
        mixture = GaussianMixture(count, max_iter=ITERATIONS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = mixture.fit_predict(severity)
            criterion = mixture.bic(severity)
        if criterion < least:
            best, least, worse = labels, criterion, 0
        else:
            worse += 1
        if worse == PATIENCE:
            break
    return best
