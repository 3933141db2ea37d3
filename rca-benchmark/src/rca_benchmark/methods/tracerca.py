"""TraceRCA: sets of services that abnormal traces have in common."""

from __future__ import annotations

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
FEWEST: Final = 11
LEAST_SUPPORT: Final = 0.1


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
    failure; a call is anomalous if one of them leaves 3 sigma of what it was before, up or down.
    A trace with an anomalous call is abnormal. For sets of up to three services, support s is the
    share of abnormal traces that pass all of them, and confidence c the share of the traces passing
    all of them that are abnormal; the suspicion of a set is the Jaccard index of both kinds of
    traces, 1 / (1 / s + 1 / c - 1). A service's score is its best set's suspicion times the share
    of that set's abnormal traces in which the anomaly begins at the service: a call to it is
    anomalous, and no call that follows from that one is.

    Parameters:
        sigmas: 3; standard deviations from which a feature is anomalous.
        useful: 0.1; by so much the share of anomalous calls has to rise for a feature to be used.
        fewest: 11; calls of an operation before the fault, to know what is normal for it.
        least_support: 0.1; of a set of services (authors' code: 0.1).

    Cost:
        O(S) for S spans, and O(K N^2) for each service at which an anomaly begins, for K kinds of
        traces over N services.

    Decisions:
        * Built from the paper's abstract and the authors' code; the paper's text was not at hand.
        * Sets of at most three services are tried instead of all frequent ones by FP-growth: what
          abnormal traces have in common beyond their callers is one or two services.
        * In the authors' data a call has a source and a target. Here a span is a call to its own
          service; but one that a service begins itself, to call another, is a call to that other:
          time lost on the way speaks against the service that is called.
        * The authors' code orders services by the difference between abnormal traces with an
          anomalous call to the service and with one from it; here both are told apart within each
          trace: calls count that no anomalous call below them explains.
        * Of fewer than 11 calls none can be 3 standard deviations from their mean, whatever they
          are, so they do not tell how often a call leaves it: times of such operations are not
          used. A failure is anomalous by itself where the operation was called before and has not
          failed, however rarely it was called.

    Earlier implementations:
        * The authors' code: mines sets, then scores services by sets of one service only.
        * The study's code, RCAEval 1.8.1: one feature (duration), sets of one operation, no mining;
          operations unseen before the fault are an error.

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
    features = ((spans.duration_us, FEWEST), (spans.self_us, FEWEST), (spans.failed, 1))
    found = np.zeros(len(spans), dtype=bool)
    count = len(spans.operations)
    early = np.bincount(spans.operation[~spans.late], minlength=count)
    late = np.bincount(spans.operation[spans.late], minlength=count)
    for feature, fewest in features:
        known = early[spans.operation] >= fewest
        beyond = known & _beyond(feature.astype(np.float64), spans, early)
        share = [
            np.bincount(spans.operation[rows & beyond], minlength=count) / np.maximum(of, 1)
            for rows, of in ((~spans.late, early), (spans.late, late))
        ]
        useful = share[1] - share[0] > USEFUL
        found |= beyond & useful[spans.operation]
    return found & spans.late


def suspicion(passes: NDArray[np.bool_], begins: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Score of each service: over all sets of up to three with it, suspicion times its own share.

    Args:
        passes: traces x services: whether the trace passes the service.
        begins: traces x services: whether an anomaly begins there; a trace with any is abnormal.
            An anomaly begins only where the trace passes.
    """
    kinds, kind = np.unique(passes, axis=0, return_inverse=True)
    kinds, kind = kinds.astype(np.float64), kind.ravel()
    abnormal = begins.any(axis=1)
    total = int(abnormal.sum())
    traces = np.bincount(kind, minlength=len(kinds))
    bad = np.bincount(kind[abnormal], minlength=len(kinds))
    scores = np.zeros(passes.shape[1])
    for service in np.flatnonzero(begins.any(axis=0)):
        with_it = kinds[:, service] > 0
        others = kinds[with_it]
        started = np.bincount(kind[begins[:, service]], minlength=len(kinds))
        # Of the service and any two; where one of these is the service itself, the set is smaller.
        among, hits, own = (
            others.T @ (others * counts[with_it, None]) for counts in (traces, bad, started)
        )
        jaccard = hits / np.maximum(total + among - hits, 1.0)
        share = own / np.maximum(hits, 1.0)
        scores[service] = (jaccard * share)[hits >= LEAST_SUPPORT * total].max(initial=0.0)
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
    beyond: NDArray[np.bool_] = np.abs(off) > SIGMAS * spread[spans.operation]
    return beyond


def _by_trace(
    spans: Spans, anomalous: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Traces of the fault's window x services: passed; an anomaly begins."""
    explained = np.zeros(len(spans), dtype=bool)
    called = anomalous & (spans.parent >= 0)
    explained[spans.parent[called]] = True
    target = np.where(spans.remote >= 0, spans.remote, spans.service)
    first = anomalous & ~explained
    traces, place = np.unique(spans.trace[spans.late], return_inverse=True)
    passes = np.zeros((len(traces), len(spans.services)), dtype=bool)
    begins = np.zeros(passes.shape, dtype=bool)
    passes[place, spans.service[spans.late]] = True
    begins[place[first[spans.late]], target[first]] = True
    return passes | begins, begins
