"""The first suspects of one case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from rca_benchmark.case import service_of
from rca_benchmark.methods import get_method
from rca_benchmark.preprocess import Preparation, prepare

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

TOP = 5


def diagnosis_table(observation: Observation, method: str) -> Table:
    """The method's first five indicators with their means before and after the inject time.

    The method sees the observation prepared as ``evaluate`` prepares it by default.

    Raises:
        BenchError: there is no such method, or it cannot answer.
    """
    prepared = prepare(observation, Preparation()).observation
    ranking = get_method(method).function(prepared, np.random.default_rng(0))
    after = observation.metrics["time"] >= (observation.inject_time_ns or 0)
    table = Table(title=f"{method}: the first {TOP} suspects")
    table.add_column("", justify="right")
    table.add_column("service")
    table.add_column("indicator")
    table.add_column("mean before", justify="right")
    table.add_column("mean after", justify="right")
    for place, name in enumerate(ranking.indicators[:TOP], start=1):
        values = observation.metrics[name]
        means = (f"{values[rows].mean():.4g}" for rows in (~after, after))
        table.add_row(str(place), service_of(name), name, *means)
    return table
