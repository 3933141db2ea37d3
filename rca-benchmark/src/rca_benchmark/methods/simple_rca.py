"""A baseline of three rules of thumb: 3-sigma metrics, slow spans, error words in logs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.methods.deviation import standard_scores
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_windows

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

SIGMAS: Final = 3.0
ERRORS: Final = r"(?i)\b(?:error|exception|fail(?:ed|ure)?|fatal|timeout|refused|panic)\b"


@method(
    name="simple_rca",
    sources=("metrics", "logs", "traces"),
    paper="SimpleRCA: Rethinking the evaluation of RCA, arXiv 2510.04711",
    uses_inject_time=True,
    stochastic=False,
)
def simple_rca(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the number of alerts of three rules, each counted once per thing observed.

    * metrics: an indicator leaves 3 sigma of its normal window;
    * traces: the P95 duration of one of the service's operations grows beyond 3 sigma of its
      durations before the inject time;
    * logs: lines with an error word come more often per second than before.

    Indicators are ordered by their largest absolute standard score, which decides nothing between
    services. Telemetry that the case lacks gives no alert.

    Raises:
        MethodFailed: there is no inject time, or no indicator can be scored.
    """
    windows = split_windows(observation)
    highest = np.nanmax(np.abs(standard_scores(windows)), axis=0)
    scores = dict(zip(windows.indicators, map(float, highest), strict=True))
    alerts = Counter({service_of(name): 0 for name in candidate_indicators(observation)})
    alerts.update(service_of(name) for name, score in scores.items() if score > SIGMAS)
    alerts.update(_slow_operations(observation))
    alerts.update(_noisy_services(observation))
    return rank_by_service(alerts, scores, observation)


def _slow_operations(observation: Observation) -> list[str]:
    """The service of each operation that became slow."""
    spans = observation.traces
    inject_us = _inject_time_ns(observation) / 1000
    keys = ["serviceName", "operationName"]
    before = spans[spans["startTime"] < inject_us].groupby(keys)["duration"]
    after = spans[spans["startTime"] >= inject_us].groupby(keys)["duration"]
    limit = before.mean() + SIGMAS * before.std()
    slow = after.quantile(0.95).reindex(limit.index) > limit
    return [str(service) for service, _operation in slow.index[slow]]


def _noisy_services(observation: Observation) -> list[str]:
    """The services that log lines with an error word more often than before."""
    inject_ns = _inject_time_ns(observation)
    times = observation.metrics["time"]
    seconds_before = inject_ns - int(times.iloc[0])
    seconds_after = int(times.iloc[-1]) + observation.step_ns - inject_ns
    logs = observation.logs[observation.logs["message"].str.contains(ERRORS, regex=True)]
    late = logs["time"] >= inject_ns
    before, after = (Counter(logs.loc[rows, "service"]) for rows in (~late, late))
    return [
        str(name)
        for name, count in after.items()
        if count / seconds_after > before[name] / seconds_before
    ]


def _inject_time_ns(observation: Observation) -> int:
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    return observation.inject_time_ns
