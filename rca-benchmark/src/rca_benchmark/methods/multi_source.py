"""Scores of services over metrics, logs and traces alike, for BARO and N-sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import service_of
from rca_benchmark.features.operations import operation_latency
from rca_benchmark.methods.deviation import highest_deviation
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.preprocess import (
    Windows,
    log_counts,
    shared,
    span_counts,
    split_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

    Spread = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]

# A count cannot change by less: without it, one line from a service that is silent as a rule
# would outscore everything.
LEAST_SCALE: Final = {"metrics": 0.0, "log lines": 1.0, "failed spans": 1.0, "span latency": 0.0}


def rank_over_sources(observation: Observation, spread: Spread) -> Ranking:
    """Services by the highest score of any of their series, whatever its source.

    Args:
        observation: its metrics, log lines (all; those of level ERROR), spans (failed ones;
            mean duration per operation), each per step.
        spread: center and scale of each column of a normal window.

    Raises:
        MethodFailed: there is no inject time, or no candidate has an indicator.
    """
    services = {service_of(name): 0.0 for name in candidate_indicators(observation)}
    by_indicator: dict[str, float] = {}
    for source, windows in windows_by_source(observation).items():
        center, scale = spread(windows.normal.to_numpy())
        scores = highest_deviation(windows, center, np.maximum(scale, LEAST_SCALE[source]))
        for name, score in scores.items():
            service = service_of(name)
            services[service] = max(services.get(service, 0.0), float(score))
        if source == "metrics":
            by_indicator = scores
    return rank_by_service(services, by_indicator, observation)


def windows_by_source(observation: Observation) -> dict[str, Windows]:
    """The windows of each source that has a series which varies.

    Columns are named ``<service>_<what>``.
    """

    def split() -> dict[str, Windows]:
        tables = {
            "metrics": observation.metrics.iloc[:, 1:],
            "log lines": pd.concat(
                [
                    log_counts(observation).add_suffix("_lines"),
                    log_counts(observation, level="ERROR").add_suffix("_errors"),
                ],
                axis=1,
            ),
            "failed spans": span_counts(observation, failed_only=True).add_suffix("_failed"),
            "span latency": operation_latency(observation),
        }
        windows = {name: split_table(observation, table) for name, table in tables.items()}
        return {name: found for name, found in windows.items() if found.indicators}

    return shared(observation, "windows by source", split)
