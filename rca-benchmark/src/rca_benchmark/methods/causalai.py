"""CausalAI's root cause detector: time as a cause, whose direct effects are the root causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.causal.context import rank_by_context
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

ALPHA: Final = 0.001
MOST_CONDITIONS: Final = 4


@method(
    name="causalai",
    sources=("metrics",),
    paper="Arpit et al.: Salesforce CausalAI library, arXiv 2301.10859",
    uses_inject_time=False,
    stochastic=False,
)
def causalai(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = whether time acts on an indicator directly, then how strongly.

    Time is added to the indicators as a variable without causes of its own. What the PC algorithm
    leaves as its direct effects changed by itself over the recording and not because of other
    indicators: these are the root causes (the library's root cause detector, after Ikram et al.,
    NeurIPS 2022, and Huang et al., JMLR 2020). Tests are those of partial correlation.

    Parameters:
        ALPHA: 0.001; level of the tests (library: 0.05; the study: 0.001)
        MOST_CONDITIONS: 4; largest conditioning set (library: 4)
        MOST_TESTS: 20 million; a size of sets that takes more ends the search

    Cost:
        O(N K^4) for K indicators that are correlated with time, all tests of a size at once from
        one covariance matrix; O(T N^2) for that.

    Decisions:
        * Time is the row number over the whole recording. The method is not told when the fault
          began: a step is found by its correlation with time.
        * Conditioning sets are made of indicators that are still adjacent to time. The library
          learns the graph of all indicators, of which only this neighbourhood is answered.
        * The least correlated indicator is tested first, so that of two that separate each other
          the more correlated one stays.
        * The library answers the direct effects as a set without order. Here they are ordered by
          their correlation with time. The others follow: first those that only a large set
          separates from time, then by correlation.

    Earlier implementations:
        * the study's code: the answer is an unordered set, so its order depends on the hash seed;
          it is often empty; the inject time is asked for and has no effect.

    Raises:
        MethodFailed: there are too few rows, or no indicator of a candidate varies.
    """
    series = series_of(observation)
    time = np.arange(len(series.values), dtype=np.float64)
    order = rank_by_context(series.values, time, ALPHA, MOST_CONDITIONS)
    scores = np.empty(len(order))
    scores[order] = -np.arange(len(order))
    return rank_by_score(series.by_indicator(scores), observation)
