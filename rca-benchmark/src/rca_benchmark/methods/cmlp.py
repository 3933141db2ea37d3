"""Neural Granger causality by componentwise networks, then PageRank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rca_benchmark.causal.cmlp import granger_causes
from rca_benchmark.causal.graph import CausalGraph
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.graph_ranking import rank_by_pagerank
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation
    from rca_benchmark.methods.ranking import Ranking

MOST_INDICATORS: Final = 120


@method(
    name="cmlp_pagerank",
    sources=("metrics",),
    paper="Tank, Covert, Foti, Shojaie, Fox: Neural Granger Causality, TPAMI 2022",
    uses_inject_time=False,
    stochastic=True,
    most_indicators=MOST_INDICATORS,
    cost="seconds",
)
def cmlp_pagerank(observation: Observation, rng: np.random.Generator) -> Ranking:
    """PageRank, from effects to causes, over the Granger graph of componentwise networks (cMLP).

    Each indicator is predicted from the last rows of all by a network of its own, with one hidden
    layer. The loss of a network is its mean squared error, plus a ridge penalty on the weights to
    the output, plus for each source the hierarchical penalty: the sum over l of the norm of the
    weights of lags l to 5 (section 3 of the paper). It is minimised by proximal gradient
    descent, which sets the weights of sources that do not help to exactly 0: i causes j where a
    weight from i to the network of j is left.

    Parameters:
        LAG: 5; rows that a prediction sees (study's code: 5)
        HIDDEN: 10; tanh units of each network (study's code: 100)
        RIDGE: 0.1; penalty on the weights to the output (study's code: 0.01)
        PENALTY_SHARE: 0.3; of the penalty that leaves no edge (study's code: always 0.002)
        TOLERANCE: 0.0001; relative change of a network's loss in 20 steps at which its descent ends
        MOST_STEPS: 1000; of the descent
        DAMPING: 0.85; of the PageRank

    Cost:
        Up to 1000 steps, each two products of T x 5 N and 5 N x 10 M matrices for the M networks
        that still go on: O(T N M). Half of them end within about 300 steps.

    Decisions:
        * The penalty is no constant: one that fits 50 indicators leaves no edge, or all, with
          others. It is a share of the smallest at which all weights between different indicators
          stay 0 when each is first predicted linearly from its own past. So it depends on no unit,
          and noise alone leaves some edges too.
        * Share and ridge penalty were chosen on simulated series of 8 indicators, linear and not,
          100 and 500 rows: mean F1 0.78, area under the curve 0.97. With a ridge penalty of 0.01
          F1 was 0.70 at best, as large weights to the output then stand in for small ones that
          are penalised.
        * The descent is GISTA (Gong et al., ICML 2013), as in the authors' code, with a
          Barzilai-Borwein step for each network, and goes on to convergence.
        * A graph of edges, not of norms, is ranked: what the paper reads from the weights is
          whether they are 0.
        * tanh units: a proximal step needs a gradient that is continuous.

    Earlier implementations:
        * The study's code: 100 hidden units, a penalty of 0.002 whatever the data, 20 000 steps of
          fixed length 0.05; sets no seed. The number of edges is then a matter of the data's size.

    Raises:
        MethodFailed: there are more than 120 indicators or fewer than two that differ, fewer than
            12 rows, or no edge is left.
    """
    series = series_of(observation)
    if len(series.names) > MOST_INDICATORS:
        raise MethodFailed(
            f"{len(series.names)} indicators are more than the {MOST_INDICATORS} that it learns "
            "within minutes"
        )
    if len(series.names) < 2:
        raise MethodFailed("a graph needs two indicators that differ")
    causes = granger_causes(series.values, rng)
    return rank_by_pagerank(CausalGraph.from_causes(series.names, causes), series, observation)
