"""PDiagnose: anomalies of metrics, logs and traces as votes for services."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.features.log_templates import SEVERE_WORDS
from rca_benchmark.features.operations import operation_latency
from rca_benchmark.methods.deviation import mean_and_deviation
from rca_benchmark.methods.ranking import Ranking, candidate_indicators, rank_by_service
from rca_benchmark.methods.registry import method
from rca_benchmark.preprocess import split_table, step_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.preprocess import Windows

DENSITY: Final = 0.01
SIGMAS: Final = 3.0
MEMORY: Final = 0.3
SPAN: Final = 10
FEWEST: Final = 2


@method(
    name="pdiagnose",
    sources=("metrics", "logs", "traces"),
    paper="Hou, Jia, Wu, Li: PDiagnose, ISPA 2021",
    uses_inject_time=True,
    stochastic=False,
)
def pdiagnose(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the number of anomalies in their metrics, logs and traces.

    Every anomaly of a step is a vote for its service and goes into a queue. Metrics: a sample lies
    where the density of the normal window (a Gaussian kernel estimate) leaves less than 1 %, and
    beyond 3 sigma of a weighted moving average's errors; logs: a line with an error word; traces:
    the mean duration of an operation in a step beyond 3 sigma. Votes count once there are at least
    K in some T successive steps; services that never get so far come after all others.

    Parameters:
        density: 0.01; share of the normal window's density.
        sigmas: 3; of the moving average's errors and of durations.
        memory: 0.3; weight of the newest sample in the moving average.
        T: 10; steps over which votes are collected (paper: 10).
        K: 2; fewest votes in that time (paper: 2).

    Cost:
        O(N m n) for n normal and m anomalous rows, by kernels; lines and spans are counted once.

    Decisions:
        * Both of the paper's detectors of metrics have to agree; either alone calls a tenth of
          quiet samples anomalous on short windows.
        * A metric without spread before the fault is anomalous where it leaves its value, not
          where it keeps it.
        * One vote per indicator, operation or service's log and step, so that a service that
          logs much has no more votes than one that logs little.

    Earlier implementations:
        * The study's code, RCAEval 1.8.1: every constant metric votes with all of its samples;
          log lines from before the fault count; neither detector nor queue is there.

    Raises:
        MethodFailed: there is no inject time, no candidate has an indicator, or a standard
            deviation overflows.
    """
    names = candidate_indicators(observation)
    votes = {source: found for source, found in _votes(observation).items() if found.size}
    services: Counter[str] = Counter({service_of(name): 0 for name in names})
    metric_votes: dict[str, float] = {}
    per_service: dict[str, NDArray[np.int64]] = {}
    for (source, name), found in votes.items():
        service = service_of(name)
        per_service[service] = per_service.get(service, 0) + found.astype(np.int64)
        if source == "metrics":
            metric_votes[name] = float(found.sum())
    for service, steps in per_service.items():
        window = np.convolve(steps, np.ones(min(SPAN, steps.size), dtype=np.int64), mode="valid")
        services[service] = int(steps.sum()) if window.max(initial=0) >= FEWEST else 0
    return rank_by_service(services, metric_votes, observation)


def _votes(observation: Observation) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """By (source, column): at which anomalous steps there is an anomaly."""
    metrics = split_table(observation, observation.metrics.iloc[:, 1:])
    spans = split_table(observation, operation_latency(observation))
    logs = _error_lines(observation)[len(metrics.normal) :]
    found = {
        ("metrics", name): column
        for name, column in zip(metrics.indicators, metric_anomalies(metrics).T, strict=True)
    }
    if spans.indicators:
        center, scale = mean_and_deviation(spans.normal.to_numpy())
        late = np.nan_to_num(spans.anomalous.to_numpy(), nan=-np.inf)
        slow = (late > center + SIGMAS * scale) & (scale > 0)
        found |= {
            ("traces", name): column for name, column in zip(spans.indicators, slow.T, strict=True)
        }
    return found | {("logs", f"{name}_log"): logs[name].to_numpy() for name in logs.columns}


def metric_anomalies(windows: Windows) -> NDArray[np.bool_]:
    """Which samples of the anomalous window both detectors find anomalous; rows x indicators.

    Raises:
        MethodFailed: a standard deviation overflows.
    """
    normal, late = windows.normal.to_numpy(), windows.anomalous.to_numpy()
    center, scale = mean_and_deviation(normal)
    found = np.zeros(late.shape, dtype=bool)
    for column in range(late.shape[1]):
        known = normal[:, column][~np.isnan(normal[:, column])]
        samples = late[:, column]
        if known.max() == known.min() or scale[column] == 0:
            found[:, column] = ~np.isnan(samples) & (samples != known[0])
            continue
        scaled = (samples - center[column]) / scale[column]
        before = (known - center[column]) / scale[column]
        found[:, column] = _rare(before, scaled) & _off_average(before, scaled)
    return found


def _rare(before: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the kernel density is below what all but 1 % of the normal samples have."""
    width = 1.06 * len(before) ** -0.2  # Silverman's rule for a standard deviation of 1
    own = _density(before, before, width)
    limit = np.quantile(own, DENSITY)
    rare: NDArray[np.bool_] = _density(before, samples, width) < limit
    return rare


def _density(
    before: NDArray[np.float64], samples: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Not normalised; infinite where the sample is missing, which is never rare."""
    distance = np.minimum(np.abs(samples[:, None] - before), 1e6) / width
    density: NDArray[np.float64] = np.exp(-0.5 * distance**2).mean(axis=1)
    return np.where(np.isnan(samples), np.inf, density)


def _off_average(before: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a sample is beyond 3 sigma of the errors of a moving average that stops at the fault.

    The average goes on over the normal window only: a fault that lasts does not become normal.
    """
    average = np.empty(len(before))
    average[0] = before[0]
    for row in range(1, len(before)):
        average[row] = MEMORY * before[row] + (1 - MEMORY) * average[row - 1]
    errors = before[1:] - average[:-1]
    spread = errors.std() if errors.size else 0.0
    off: NDArray[np.bool_] = np.abs(np.nan_to_num(samples - average[-1])) > SIGMAS * max(
        spread, 1e-9
    )
    return off


def _error_lines(observation: Observation) -> pd.DataFrame:
    """Steps x candidate services: whether a line with an error word was written."""
    logs = observation.logs[observation.logs["message"].str.contains(SEVERE_WORDS, regex=True)]
    rows = step_of(observation, logs["time"].to_numpy())
    inside = (rows >= 0) & (rows < len(observation.metrics))
    table = observation.metrics[[]].assign(**dict.fromkeys(observation.services, False))
    for service in observation.services:
        at = rows[inside & (logs["service"] == service).to_numpy()]
        table.loc[np.unique(at), service] = True
    return table
