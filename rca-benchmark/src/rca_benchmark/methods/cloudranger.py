"""CloudRanger: a causal graph by PC and a walk that remembers its last step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.methods.pc import pc_graph
from rca_benchmark.methods.ranking import Ranking, rank_by_score
from rca_benchmark.methods.registry import method
from rca_benchmark.walk.random_walk import first_order_steps
from rca_benchmark.walk.second_order import UNREACHED, expected_visits

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

ALPHA: Final = 0.1
BETA: Final = 0.3
BACKWARD: Final = 0.2


@method(
    name="cloudranger",
    sources=("metrics",),
    paper="Wang et al.: CloudRanger, CCGRID 2018",
    uses_inject_time=False,
    stochastic=False,
    uses_sli=True,
)
def cloudranger(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Score = visits of a second-order walk from the SLI over the graph that PC finds.

    PC finds an impact graph in all rows. A walk starts at the SLI: it steps from effects to causes,
    prefers indicators that correlate with the SLI, may step back or stay, and its next step depends
    on its last one as well: the chance to go from i to j after k is in proportion to (1 - BETA)
    p[k, i] + BETA p[i, j].

    Parameters:
        ALPHA: 0.1; level of each test of independence (study's code: 0.1)
        BETA: 0.3; weight of the next step against the last one (study's code: 0.3)
        BACKWARD: 0.2; weight of a step back to an effect (study's code: 0.2)
        LENGTH: 1000; steps of the walk (study's code: 1000, walked 10 times)

    Cost:
        PC's tests, exponential in the degree of the graph; then 1000 products of a 2 N x 2 N
        matrix with a vector.

    Decisions:
        * Visits are expected values, not sampled.
        * Backward steps and staying are part of p, so that they depend on the last step as forward
          ones do.
        * The walk never enters the SLI, as published for MonitorRank. From where no step leads it
          begins anew at indicators by their correlation with the SLI; so it does where the SLI
          has no neighbour at all.
        * Indicators that the walk cannot reach come last, by their correlation with the SLI.

    Earlier implementations:
        * the study's code: the SLI is chosen by the true root cause; starts one column beside it;
          no seed; a tensor of N^3 numbers.

    Raises:
        MethodFailed: there is no SLI, it does not vary or correlates with nothing, the graph has
            no edge, or there are too few rows.
    """
    series = series_of(observation)
    front = series.position(observation.sli)
    graph = pc_graph(observation, ALPHA)
    if not graph.edges:
        raise MethodFailed("no causal relation was found among the indicators")
    similarity = np.abs(series.correlations[front])
    similarity[front] = 0.0
    if not similarity.any():
        raise MethodFailed(f"nothing correlates with the SLI {observation.sli}")
    steps = graph.steps_to_causes()
    steps[:, front] = 0.0
    weights = first_order_steps(steps, similarity, backward=BACKWARD)
    weights[:, front] = 0.0
    visits = expected_visits(weights, front, similarity, beta=BETA)
    score = visits + UNREACHED * similarity
    return rank_by_score(series.by_indicator(score), observation)
