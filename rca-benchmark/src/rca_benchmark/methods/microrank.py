"""MicroRank: which operations are covered by slow traces and not by others."""

from __future__ import annotations

from dataclasses import dataclass
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

SIGMAS: Final = 1.5
DAMPING: Final = 0.85
CALLS: Final = 0.01
BALANCE: Final = 0.5
CLOSE: Final = 1e-10
ITERATIONS: Final = 1000
UNSEEN: Final = 1e-7


@method(
    name="microrank",
    sources=("traces", "metrics"),
    paper="Yu et al.: MicroRank, WWW 2021",
    uses_inject_time=True,
    stochastic=False,
)
def microrank(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the weighted spectrum of their operations.

    A trace of the fault's window is anomalous if it takes longer than its operations lead one to
    expect: the sum of mean + 1.5 standard deviations of their self times before the fault. On the
    anomalous and on the other traces of that window, PageRank on operations and traces weighs the
    operations: traces vote for what they cover, those that cover few operations or are of a rare
    kind with more weight, calls add a little. The spectrum of an operation counts the traces that
    cover it (ef anomalous, ep normal) and that do not (nf, np), times these weights; its score is
    Dstar2 = ef^2 / (ep + nf). A service has the score of its best operation.

    Parameters:
        sigmas: 1.5; standard deviations in the expected time (authors' code: 1.5 to raise an alarm,
            1 and 50 ms on top to sort traces).
        damping: 0.85; of PageRank (authors' code: 0.85).
        calls: 0.01; weight of calls beside coverage (authors' code: 0.01).
        balance: 0.5; share of the rarity by coverage in an anomalous trace's vote, the rest by
            kind (authors' code: 0.5).
        close: 1e-10; change of PageRank's scores, of 1 at most, at which it ends (authors' code:
            25 iterations, with the remark that large systems need more).

    Cost:
        O(C) per iteration, C covered (trace, operation) pairs.

    Decisions:
        * Built from the paper's abstract and the authors' code; the paper's text was not at hand.
        * Operations are measured by self time, as in the authors' code, so that their sum is
          comparable with the whole trace; whole durations count nested time several times, and
          hardly any trace exceeds them. A trace's time is the sum as well: where calls run side by
          side, both sums count them one after the other.
        * An anomalous trace's vote is the mean of 1 / (operations that it covers) and 1 / (traces
          of its kind), each as a share of all. The authors' code takes the inverse of a sum that
          holds the former, which gives traces that cover many operations more weight.
        * No trace slower than expected is no answer: spectra tell nothing without failures.
        * Where all traces of the window are anomalous, those before the fault are the normal ones.
        * An operation that no normal trace covers has ep = 1e-7, as in the authors' code.
        * Traces without an operation that was known before the fault are neither.

    Earlier implementations:
        * The study's code, RCAEval 1.8.1: calls are looked up in a table with other keys, so that
          of each operation only those of its last span survive; both graphs are built from all
          traces of a window, not from the anomalous and the normal ones; an operation unseen
          before is an error.

    Raises:
        MethodFailed: there is no inject time, there are no spans before or after it, no trace is
            anomalous, or no candidate has an indicator.
    """
    spans = spans_of(observation)
    check_spans(observation, spans)
    anomalous, normal = partition(spans)
    if not anomalous.any():
        raise MethodFailed("no trace takes longer than its operations lead one to expect")
    scores = spectrum(cover(spans, anomalous), cover(spans, normal))
    best = np.zeros(len(spans.services))
    np.maximum.at(best, spans.operation_service, scores)
    return rank_services(dict(zip(spans.services, best.tolist(), strict=True)), observation)


def partition(spans: Spans) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which traces are anomalous and which normal; each of length ``spans.traces``."""
    count = len(spans.operations)
    early = ~spans.late
    seen = np.bincount(spans.operation[early], minlength=count)
    total = np.bincount(spans.operation[early], weights=spans.self_us[early], minlength=count)
    mean = total / np.maximum(seen, 1)
    off = (spans.self_us - mean[spans.operation]) ** 2
    spread = np.sqrt(
        np.bincount(spans.operation[early], weights=off[early], minlength=count)
        / np.maximum(seen, 1)
    )
    known = seen[spans.operation] > 0
    expected = np.where(known, mean[spans.operation] + SIGMAS * spread[spans.operation], 0.0)
    taken = np.where(known, spans.self_us, 0)
    slow = np.bincount(spans.trace, weights=taken, minlength=spans.traces) > np.bincount(
        spans.trace, weights=expected, minlength=spans.traces
    )
    late = np.zeros(spans.traces, dtype=bool)
    late[spans.trace[spans.late]] = True
    judged = np.bincount(spans.trace, weights=known, minlength=spans.traces) > 0
    anomalous = late & slow & judged
    normal = late & ~slow & judged
    return anomalous, normal if normal.any() else ~late & judged


@dataclass(frozen=True, eq=False)
class Coverage:
    """Traces and the operations that they cover.

    Attributes:
        trace: of each covered pair, 0 to ``traces`` - 1.
        operation: of each covered pair.
        traces: number of traces.
        operations: number of operations, covered or not.
        callers, callees: operations of each distinct call.
    """

    trace: NDArray[np.int64]
    operation: NDArray[np.int64]
    traces: int
    operations: int
    callers: NDArray[np.int64]
    callees: NDArray[np.int64]


def cover(spans: Spans, chosen: NDArray[np.bool_]) -> Coverage:
    """The coverage of the chosen traces."""
    rows = chosen[spans.trace]
    place = np.cumsum(chosen) - 1
    pairs = np.unique(
        place[spans.trace[rows]] * max(len(spans.operations), 1) + spans.operation[rows]
    )
    trace, operation = np.divmod(pairs, max(len(spans.operations), 1))
    called = rows & (spans.parent >= 0)
    calls = np.unique(
        np.column_stack([spans.operation[spans.parent[called]], spans.operation[called]]), axis=0
    )
    return Coverage(
        trace, operation, int(chosen.sum()), len(spans.operations), calls[:, 0], calls[:, 1]
    )


def operation_weights(coverage: Coverage, *, by_coverage: float) -> NDArray[np.float64]:
    """PageRank of the operations, times its mean; 0 for what no trace covers.

    Traces hand their rank to the operations that they cover, in equal parts, and operations to the
    traces that cover them; calls hand on a little. The highest rank of either side is 1 after each
    step, as in the authors' code.

    Args:
        coverage: of the traces.
        by_coverage: share of a trace's preference that goes by 1 / (operations that it covers);
            the rest goes by 1 / (traces of the same kind).
    """
    from scipy.sparse import csr_array

    shape = (coverage.operations, coverage.traces)
    size = np.bincount(coverage.trace, minlength=coverage.traces)
    times = np.bincount(coverage.operation, minlength=coverage.operations)
    hand_down = csr_array(
        (1.0 / size[coverage.trace], (coverage.operation, coverage.trace)), shape=shape
    )
    hand_up = csr_array(
        (1.0 / times[coverage.operation], (coverage.trace, coverage.operation)), shape=shape[::-1]
    )
    out = np.bincount(coverage.callers, minlength=coverage.operations)
    called = csr_array(
        (1.0 / out[coverage.callers], (coverage.callees, coverage.callers)), shape=(shape[0],) * 2
    )
    rare = 1.0 / _kind_sizes(coverage)
    preference = (1 - by_coverage) * rare / rare.sum()
    preference = preference + by_coverage * (1.0 / size) / (1.0 / size).sum()
    operations = np.where(times > 0, 1.0, 0.0) / shape[0]
    traces = np.full(shape[1], 1.0 / shape[1])
    for _ in range(ITERATIONS):
        before = operations
        moved = DAMPING * (hand_down @ traces + CALLS * (called @ operations))
        traces = DAMPING * (hand_up @ operations) + (1 - DAMPING) * preference
        operations = moved / moved.max()
        traces = traces / traces.max()
        if np.abs(operations - before).max() < CLOSE:
            break
    weights: NDArray[np.float64] = operations * operations.sum() / max(int((times > 0).sum()), 1)
    return weights


def spectrum(anomalous: Coverage, normal: Coverage) -> NDArray[np.float64]:
    """Dstar2 of each operation, weighted: ef^2 / (ep + nf); 0 without an anomalous trace."""
    covered = np.bincount(anomalous.operation, minlength=anomalous.operations)
    passed = np.bincount(normal.operation, minlength=normal.operations)
    weight = operation_weights(anomalous, by_coverage=BALANCE)
    executed = weight * covered
    missed = weight * (anomalous.traces - covered)
    succeeded = np.full(len(weight), UNSEEN)
    if normal.traces:
        weight_passed = operation_weights(normal, by_coverage=0.0)
        succeeded[passed > 0] = (weight_passed * passed)[passed > 0]
    scores: NDArray[np.float64] = executed**2 / (succeeded + missed)
    return scores


def _kind_sizes(coverage: Coverage) -> NDArray[np.int64]:
    """For each trace the number of traces that cover the same operations."""
    marks = np.random.default_rng(0).integers(2**62, size=coverage.operations)
    kind = np.zeros(coverage.traces, dtype=np.int64)
    np.bitwise_xor.at(kind, coverage.trace, marks[coverage.operation])
    _, place, count = np.unique(kind, return_inverse=True, return_counts=True)
    sizes: NDArray[np.int64] = count[place]
    return sizes
