"""Which log templates came or went with the fault, beyond what the service's activity explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.features.log_templates import template_counts
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    import pandas as pd

    from rca_benchmark.case import Observation

# Fewer lines than this are expected of no template: the first line of a kind is news, not proof.
LEAST_EXPECTED: Final = 0.5


def log_changes(observation: Observation) -> pd.DataFrame:
    """Template counts with what was to be expected after the inject time, and how far it is off.

    Expected is the count before, times the ratio of all lines of the same service after and before:
    a busier service writes more of everything. A service's own other lines are the best measure
    of how much it was asked to do, whatever it is.

    Returns:
        The columns of ``template_counts`` and ``expected`` (lines, at least 0.5) and ``deviance``
        (2 (n log(n / expected) - (n - expected)), 0 or more: the likelihood ratio statistic of a
        Poisson count; signed: negative where there are fewer lines than expected).
    """

    def compare() -> pd.DataFrame:
        table = template_counts(observation).copy()
        total = table.groupby("service")[["before", "after"]].transform("sum")
        ratio = (total["after"] + 1) / (total["before"] + 1)
        expected = np.maximum(table["before"] * ratio, LEAST_EXPECTED)
        count = table["after"].to_numpy(dtype=np.float64)
        log_ratio = np.log(np.where(count > 0, count, 1.0) / expected)
        size = 2.0 * (count * log_ratio - (count - expected))
        table["expected"] = expected
        table["deviance"] = np.sign(count - expected) * np.maximum(size, 0.0)
        return table

    return shared(observation, "log changes", compare)
