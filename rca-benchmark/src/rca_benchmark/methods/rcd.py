"""RCD: the fault as a node of its own, whose neighbours are the root causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.chi_square import chi_square
from rca_benchmark.causal.discretise import kmeans_levels
from rca_benchmark.causal.psi_pc import TargetTests, rank_neighbours
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

BINS: Final = 5
MATERIAL: Final = 0.01


@method(
    name="rcd",
    sources=("metrics",),
    paper="Ikram et al.: Root cause analysis of failures in microservices, NeurIPS 2022",
    uses_inject_time=True,
    stochastic=True,
)
def rcd(observation: Observation, rng: np.random.Generator) -> Ranking:
    """Score = the order in which indicators become neighbours of the fault.

    The fault is a node F of its own: 0 before the inject time, 1 from it on. It causes the root
    causes and nothing else, so they are its neighbours (section 3 of the paper). Indicators are
    cut to a few levels, which makes chi-square tests of independence from F possible. Chunks of
    gamma indicators are searched for neighbours of F (psi-PC, localised: only edges at F are
    tested); what is found makes up the next round, until at most gamma are left or a round removes
    none. psi-PC with rising level of the tests then orders the rest (Algorithm 1).

    Parameters:
        BINS: 5; levels per indicator (RCAEval: 5)
        MATERIAL: 0.01; share of its mean by which an indicator varies at least (see below)
        GAMMA: 5; indicators per chunk (paper: 5)
        CHUNK_ALPHA: 0.01; first level of the tests in chunks (authors' code: 0.01)
        FINAL_ALPHA: 0.001; first level of the tests in the last phase (authors' code: 0.001)
        ALPHA_STEP: 0.1; by which the level rises, below 1 (authors' code: 0.1)
        MOST_SETS: 1000; larger families of conditioning sets are not tried (paper: no bound)

    Cost:
        O(N T log T) for the levels and about N / gamma times 2^gamma tests of O(T) per round;
        tests are the larger part and none is made twice.

    Decisions:
        * The search stops as soon as there are enough neighbours, not only at the exact number.
        * Levels are the exact k-means of a column, found once for both windows together.
        * A table without a degree of freedom has p = 1, as in the authors' code: a level that
          occurs in one window only determines F, and nothing else can tell more about F.
        * The least dependent indicator is tested first, so that of two that separate each other
          the more dependent one stays. Of equally dependent ones the generator decides; the
          authors' code visits all at random. Where many indicators tell the windows apart without
          error, the answer among them is chance, as the paper's test gives no more.
        * Neighbours of the same level are ordered by the largest p-value that they withstood.
        * On real data the authors' code leaves out indicators with a standard deviation of at most
          1 in their own units (percent, MB). Without that, memory that differs by 0.2 % tells the
          windows apart as well as any fault. The same without units is a standard deviation of
          more than 1 % of the mean; the others come last, by their chi-square statistic.
        * The paper returns the neighbours only. The others follow, the last removed first, those
          of the same round by their unconditional chi-square statistic.
        * One random division into chunks, as in the paper; the spread over seeds is part of the
          result.
        * Service-level Avg@5 on 20 Sock Shop cases (CPU, memory): 0.62, 0.54, beside a published
          0.63, 0.66 on 50. Of 35 indicators 16 tell the windows apart without error, so that chance
          decides among them; seeds differ by 0.1 and more.

    Earlier implementations:
        * authors' code, RCAEval 0.1, the study's code: the search stops only at exactly the wanted
          number of neighbours, so a chunk that finds two at once goes through all levels and keeps
          nearly all indicators.
        * RCAEval 0.1, the study's code: not seeded, so the ranking differs from run to run; tests
          are made anew for each level; indicators that are constant in one window are deleted.

    Raises:
        MethodFailed: there is no inject time, there are too few rows, or no indicator of a
            candidate varies.
    """
    before_fault = len(split_windows(observation).normal)
    series = series_of(observation)
    levels = kmeans_levels(series.values, BINS)
    fault = (np.arange(len(levels)) >= before_fault).astype(np.int64)

    def test(node: int, given: tuple[int, ...]) -> tuple[float, float]:
        return chi_square(fault, levels[:, node], [levels[:, other] for other in given])

    tests = TargetTests(test)
    material = _material(observation.metrics[list(series.names)].to_numpy())
    order = rank_neighbours(tests, np.flatnonzero(material).tolist(), rng)
    others = rng.permutation(np.flatnonzero(~material)).tolist()
    order += sorted(others, key=lambda node: -tests.strength(node))
    scores = np.empty(len(order))
    scores[order] = -np.arange(len(order))
    return rank_by_score(series.by_indicator(scores), observation)


def _material(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns vary by more than ``MATERIAL`` of their mean; each has finite values."""
    finite = np.where(np.isfinite(values), values, np.nan)
    scaled = finite / np.nanmax(np.abs(finite), axis=0)  # so that no square overflows
    found: NDArray[np.bool_] = np.nanstd(scaled, axis=0) > MATERIAL * np.abs(
        np.nanmean(scaled, axis=0)
    )
    return found
