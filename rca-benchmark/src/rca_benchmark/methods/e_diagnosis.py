"""ε-Diagnosis: whose samples before and during the fault are of different distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.methods.energy_test import energy_tests
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation


@method(
    name="e_diagnosis",
    sources=("metrics",),
    paper="Shan et al.: ε-Diagnosis, WWW 2019",
    uses_inject_time=True,
    stochastic=True,
)
def e_diagnosis(observation: Observation, rng: np.random.Generator) -> Ranking:
    """Score = significance of the two-sample energy test between the windows.

    An indicator is a root cause where the samples before and during the fault are not of the same
    distribution: a two-sample hypothesis test with the ε-statistic, which is the energy statistic
    of Székely and Rizzo. Its p-value comes from random divisions of the pooled samples, so every
    indicator has its own threshold. Indicators are ordered by p-value, those of the same p-value
    by the statistic H, between 0 (equal) and 1.

    Parameters:
        PERMUTATIONS: 199; random divisions per indicator, which gives p-values from 0.005 on

    Cost:
        O(199 N T): one sort per indicator serves all divisions.

    Decisions:
        * The paper speaks of two-sample tests, of ε-statistics and of an energy distance
          correlation. The two-sample energy test is the one that answers its question; a
          correlation of two windows pairs rows that have nothing to do with each other.
        * H is the energy distance as a share of its largest possible value, so that no unit
          matters.
        * All indicators are ranked. The paper keeps those below a level; this keeps the order.
        * Both windows count as a whole and need not be equally long.
        * The test takes samples for independent. Metrics are not, so p-values are too small, and
          slow drifts look like faults.

    Earlier implementations:
        * PyRCA, RCAEval 0.1, the study's code: squared correlation of the two windows, row by row;
          the threshold of bootstrap k goes to column k, so more than 200 columns are a KeyError;
          at most three results, often none; not seeded.

    Raises:
        MethodFailed: there is no inject time, or no indicator of a candidate can be scored.
    """
    windows = split_windows(observation)
    tests = energy_tests(windows.normal.to_numpy(), windows.anomalous.to_numpy(), rng)
    # H is at most 1 and p-values are multiples of 1 / 200: the statistic only orders equals.
    scores = tests[0] / 1000 - tests[1]
    return rank_by_score(dict(zip(windows.indicators, scores, strict=True)), observation)
