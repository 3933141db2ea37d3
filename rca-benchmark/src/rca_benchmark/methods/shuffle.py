"""The chance floor: a seeded permutation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.ranking import Ranking, candidate_indicators
from rca_benchmark.methods.registry import method

if TYPE_CHECKING:
    import numpy as np

    from rca_benchmark.case import Observation


@method(
    name="random",
    sources=("metrics",),
    paper="uniform random order of the candidates; dummy in the study",
    uses_inject_time=False,
    stochastic=True,
)
def shuffle(observation: Observation, rng: np.random.Generator) -> Ranking:
    """Every order of the services is equally likely, however many indicators each has.

    First one random indicator of each service, services in random order; then all others, again
    in random order.

    Cost:
        O(N).

    Earlier implementations:
        * RCAEval 0.1, the study's code (there called dummy): a random order of the indicators, not
          seeded, in which a service with many indicators comes first more often.

    Raises:
        MethodFailed: no candidate service has an indicator.
    """
    names = candidate_indicators(observation)
    if not names:
        raise MethodFailed("no candidate service has an indicator")
    shuffled = [names[index] for index in rng.permutation(len(names))]
    first = {service_of(name): name for name in reversed(shuffled)}
    services = sorted(first)
    heads = [first[services[index]] for index in rng.permutation(len(services))]
    return Ranking((*heads, *(name for name in shuffled if name not in set(heads))))
