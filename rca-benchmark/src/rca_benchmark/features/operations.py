"""How long each operation of each service takes, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.preprocess import shared, step_of

if TYPE_CHECKING:
    import pandas as pd

    from rca_benchmark.case import Observation


def operation_latency(observation: Observation) -> pd.DataFrame:
    """Mean duration of the spans that start in a step, in seconds; null where none does.

    Rows as in ``metrics``; one column ``<service>_<operation>`` per operation of a candidate
    service, sorted.
    """

    def latency() -> pd.DataFrame:
        spans = observation.traces[observation.traces["serviceName"].isin(observation.services)]
        rows = step_of(observation, spans["startTime"].to_numpy() * 1000)
        operation = spans["serviceName"] + "_" + spans["operationName"]
        table = (spans["duration"] / 1e6).to_frame().assign(row=rows, operation=operation)
        found = table.pivot_table(
            index="row", columns="operation", values="duration", aggfunc="mean"
        )
        return found.reindex(index=range(len(observation.metrics))).astype("float64")

    return shared(observation, "operation latency", latency, timeless=True)
