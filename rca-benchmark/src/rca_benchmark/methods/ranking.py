"""What a method answers: indicators, most suspicious first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rca_benchmark.case import Observation


@dataclass(frozen=True)
class Evidence:
    """One thing that speaks for a service as the root cause, as an engineer would put it.

    Attributes:
        service: whom it speaks against.
        fault: the type of fault that it suggests; empty where it suggests none.
        weight: how much of the service's score it makes up.
        text: one line with its figures.
        indicator: the series that shows it; None where it comes from spans or logs.
    """

    service: str
    fault: str
    weight: float
    text: str
    indicator: str | None = None


@dataclass(frozen=True)
class Ranking:
    """Indicators of candidate services, most suspicious first, without repeats.

    Attributes:
        indicators: the answer.
        evidence: what it rests on, strongest first, from methods that can say so.
    """

    indicators: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()

    @property
    def services(self) -> tuple[str, ...]:
        """The indicators' services with repeats removed, most suspicious first."""
        return tuple(dict.fromkeys(service_of(name) for name in self.indicators))


def candidate_indicators(observation: Observation) -> list[str]:
    """The indicators of candidate services, sorted by name."""
    services = set(observation.services)
    return sorted(name for name in observation.indicators if service_of(name) in services)


def rank_by_score(scores: Mapping[str, float], observation: Observation) -> Ranking:
    """Highest score first; equal scores by name, so that column order plays no part.

    Args:
        scores: by indicator; those of services that are not candidates are left out.
        observation: names the candidates.

    Raises:
        MethodFailed: a score is not finite, or no candidate has one.
    """
    names = [name for name in candidate_indicators(observation) if name in scores]
    if not names:
        raise MethodFailed("no indicator of a candidate service can be scored")
    if bad := [name for name in names if not np.isfinite(scores[name])]:
        raise MethodFailed(f"the score of {bad[0]} is not finite")
    return Ranking(tuple(sorted(names, key=lambda name: (-scores[name], name))))


def rank_by_service(
    services: Mapping[str, float], indicators: Mapping[str, float], observation: Observation
) -> Ranking:
    """For methods that score services: services by their score, whatever their indicators score.

    The best indicator of each service comes first, in the order of the services; then all others,
    highest score first. Equal scores go by name.

    Args:
        services: score by service; services without an indicator cannot be ranked.
        indicators: score by indicator; 0 where missing.
        observation: names the candidates.

    Raises:
        MethodFailed: a score is not finite, or no candidate service has a score and an indicator.
    """
    names = [name for name in candidate_indicators(observation) if service_of(name) in services]
    scores = {name: indicators.get(name, 0.0) for name in names}
    ordered = rank_by_score(scores, observation).indicators
    best: dict[str, str] = {}
    for name in ordered:
        best.setdefault(service_of(name), name)
    if bad := [name for name in best if not np.isfinite(services[name])]:
        raise MethodFailed(f"the score of {bad[0]} is not finite")
    heads = [best[name] for name in sorted(best, key=lambda name: (-services[name], name))]
    return Ranking((*heads, *(name for name in ordered if name not in set(heads))))
