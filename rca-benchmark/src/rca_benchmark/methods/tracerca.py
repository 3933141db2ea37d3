"""TraceRCA: sets of services that abnormal traces have in common."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.spans import spans_of
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.trace_ranking import check_spans, rank_services

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.features.spans import Spans
    from rca_benchmark.methods.ranking import Ranking

SIGMAS: Final = 3.0
USEFUL: Final = 0.1
LEAST_SUPPORT: Final = 0.1
MOST_SERVICES: Final = 3


@method(
    name="tracerca",
    sources=("traces", "metrics"),
    paper="Li et al.: TraceRCA, IWQoS 2021",
    uses_inject_time=True,
    stochastic=False,
)
def tracerca(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the sets of services that abnormal traces pass and normal ones do not.

    Of each operation those features are used that changed with the fault: duration, self time,
    failure; a call is anomalous if one of them leaves 3 sigma of what it was before (section III).
    A trace with an anomalous call is abnormal. For sets of up to three services, support is the
    share of abnormal traces that pass all of them, and confidence the share of the traces passing
    all of them that are abnormal; the suspicion of a set is the harmonic mean of both (section IV).
    A service's score is its best set's suspicion times the share of that set's abnormal traces in
    which the anomaly begins at the service: it has an anomalous call that calls no anomalous one.

    Parameters:
        sigmas: 3; standard deviations from which a feature is anomalous (paper: 3).
        useful: 0.1; by so much the share of anomalous calls has to rise for a feature to be used
            (paper: 0.1).
        least_support: 0.1; of a service, to be part of a set (paper: 0.1).
        most_services: 3; in a set.

    Cost:
        O(S) for S spans, and one pass over the kinds of traces per set of services.

    Decisions:
        * Sets of at most three services are tried instead of all frequent ones by FP-growth: what
          abnormal traces have in common beyond their callers is one or two services.
        * The paper orders the services of a set by their anomalous calls; here only those count
          that no anomalous callee explains.
        * A failure is anomalous by itself where the operation has not failed before.

    Earlier implementations:
        * The study's code: one feature (duration), sets of one service, no mining; operations
          unseen before the fault are an error.

    Raises:
        MethodFailed: there is no inject time, there are no spans before or after it, no call is
            anomalous, or no candidate has an indicator.
    """
    spans = spans_of(observation)
    check_spans(observation, spans)
    anomalous = anomalous_calls(spans)
    if not anomalous.any():
        raise MethodFailed("no call of the fault's window is anomalous")
    passes, begins = _by_trace(spans, anomalous)
    scores = suspicion(passes, begins)
    return rank_services(dict(zip(spans.services, scores.tolist(), strict=True)), observation)


def anomalous_calls(spans: Spans) -> NDArray[np.bool_]:
    """Which spans of the fault's window are anomalous by a feature that is useful for them."""
    features = (spans.duration_us, spans.self_us, spans.failed.astype(np.int64))
    found = np.zeros(len(spans), dtype=bool)
    count = len(spans.operations)
    early = np.bincount(spans.operation[~spans.late], minlength=count)
    late = np.bincount(spans.operation[spans.late], minlength=count)
    for feature in features:
        beyond = _beyond(feature.astype(np.float64), spans, early)
        share = [
            np.bincount(spans.operation[rows & beyond], minlength=count) / np.maximum(of, 1)
            for rows, of in ((~spans.late, early), (spans.late, late))
        ]
        useful = share[1] - share[0] > USEFUL
        found |= beyond & useful[spans.operation]
    return found & spans.late


def suspicion(passes: NDArray[np.bool_], begins: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Score of each service: over all sets with it, the set's suspicion times its own share.

    Args:
        passes: traces x services: whether the trace passes the service.
        begins: traces x services: whether an anomaly begins there; a trace with any is abnormal.
    """
    abnormal = begins.any(axis=1)
    total = int(abnormal.sum())
    support = passes[abnormal].sum(axis=0) / total
    frequent = np.flatnonzero(support >= LEAST_SUPPORT)
    scores = np.zeros(passes.shape[1])
    for size in range(1, MOST_SERVICES + 1):
        for chosen in combinations(frequent.tolist(), size):
            among = passes[:, chosen].all(axis=1)
            hits = int((among & abnormal).sum())
            if hits < LEAST_SUPPORT * total:
                continue
            mean = 2.0 * hits / (total + int(among.sum()))  # harmonic, of hits/total and hits/among
            own = begins[among & abnormal][:, chosen].mean(axis=0)
            scores[list(chosen)] = np.maximum(scores[list(chosen)], mean * own)
    return scores


def _beyond(
    feature: NDArray[np.float64], spans: Spans, early: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which spans leave 3 sigma of their operation's feature before the fault."""
    rows, count = ~spans.late, len(spans.operations)
    known = np.maximum(early, 1)
    mean = np.bincount(spans.operation[rows], weights=feature[rows], minlength=count) / known
    off = feature - mean[spans.operation]
    spread = np.sqrt(
        np.bincount(spans.operation[rows], weights=off[rows] ** 2, minlength=count) / known
    )
    beyond: NDArray[np.bool_] = (off > SIGMAS * spread[spans.operation]) & (
        early[spans.operation] > 0
    )
    return beyond


def _by_trace(
    spans: Spans, anomalous: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Traces of the fault's window x services: passed; an anomaly begins."""
    explained = np.zeros(len(spans), dtype=bool)
    called = anomalous & (spans.parent >= 0)
    explained[spans.parent[called]] = True
    traces, place = np.unique(spans.trace[spans.late], return_inverse=True)
    passes = np.zeros((len(traces), len(spans.services)), dtype=bool)
    begins = np.zeros(passes.shape, dtype=bool)
    passes[place, spans.service[spans.late]] = True
    first = (anomalous & ~explained)[spans.late]
    begins[place[first], spans.service[spans.late][first]] = True
    return passes, begins
