"""How long each operation of each service takes, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rca_benchmark.preprocess import shared, step_of

if TYPE_CHECKING:
    from rca_benchmark.case import Observation


def operation_latency(observation: Observation) -> pd.DataFrame:
    """Mean duration of the spans that start in a step, in seconds; null where none does.

    Rows as in ``metrics``; one column ``<service>_<operation>`` per operation of a candidate
    service, sorted.
    """

    def latency() -> pd.DataFrame:
        spans = observation.traces
        rows = step_of(observation, spans["startTime"].to_numpy() * 1000)
        steps = len(observation.metrics)
        kept = spans["serviceName"].isin(observation.services).to_numpy()
        kept = kept & (rows >= 0) & (rows < steps)
        named = spans.loc[kept, "serviceName"] + "_" + spans.loc[kept, "operationName"]
        codes, names = pd.factorize(named, sort=True)
        cells = rows[kept] * len(names) + codes
        size = steps * len(names)
        count = np.bincount(cells, minlength=size)
        total = np.bincount(cells, weights=spans.loc[kept, "duration"] / 1e6, minlength=size)
        mean = np.full(size, np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return pd.DataFrame(mean.reshape(steps, len(names)), columns=list(names))

    return shared(observation, "operation latency", latency, timeless=True)
