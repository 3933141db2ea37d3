"""From scores of services, found in traces, to a ranking of indicators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.deviation import standard_scores
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.preprocess import split_table, split_windows

if TYPE_CHECKING:
    from rca_benchmark.case import Observation
    from rca_benchmark.features.spans import Spans


def check_spans(observation: Observation, spans: Spans) -> None:
    """Refuse what traces alone cannot answer.

    Raises:
        MethodFailed: there is no inject time, or there are no spans before or after it.
    """
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    if not (spans.late.any() and (~spans.late).any()):
        raise MethodFailed("there are no spans before the inject time, or no spans after it")


def rank_services(services: dict[str, float], observation: Observation) -> Ranking:
    """Services by their score; services without spans come last.

    A service's indicators are ordered by their largest absolute standard score. A service without
    an indicator cannot be named.

    Raises:
        MethodFailed: no candidate has an indicator.
    """
    known = {service_of(name) for name in candidate_indicators(observation)}
    scores = dict.fromkeys(known, 0.0) | {
        name: score for name, score in services.items() if name in known
    }
    by_indicator: dict[str, float] = {}
    if split_table(observation, observation.metrics.iloc[:, 1:]).indicators:
        windows = split_windows(observation)
        highest = np.nanmax(np.abs(standard_scores(windows)), axis=0)
        by_indicator = dict(zip(windows.indicators, highest.tolist(), strict=True))
    return rank_by_service(scores, by_indicator, observation)
