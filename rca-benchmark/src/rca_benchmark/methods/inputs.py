"""What several methods read of an observation, computed once per case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rca_benchmark.causal.series import Series, complete_series
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    from rca_benchmark.case import Observation


def series_of(observation: Observation) -> Series:
    """All indicators over all rows, complete and standardised.

    Raises:
        MethodFailed: there are too few rows, or no indicator varies.
    """
    return shared(
        observation, "series", lambda: complete_series(observation.metrics), timeless=True
    )
