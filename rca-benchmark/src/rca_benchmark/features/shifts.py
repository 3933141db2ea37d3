"""How much each indicator changed at the fault: by its noise, and by its level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import service_of
from rca_benchmark.preprocess import shared, split_windows

if TYPE_CHECKING:
    from rca_benchmark.case import Observation

# Standard deviation of a normal distribution in units of its median absolute deviation.
_MAD: Final = 1.4826


def shifts(observation: Observation) -> pd.DataFrame:
    """One row per indicator that varies: what it was and what it became.

    Returns:
        ``service``, ``metric``, ``before`` and ``after`` (medians of the two windows), ``score``
        ((after - before) / robust standard deviation of the normal window, signed), ``change``
        ((after - before) / the larger of the two sizes: -1 to 1). The standard deviation is the
        largest of 1.4826 MAD, a tenth of the plain one, and 0.1 % of the level, so that series
        which rest most of the time do not score without bound. Index: indicator.

    Raises:
        MethodFailed: there is no inject time, or no indicator varies.
    """
    return shared(observation, "shifts", lambda: _shifts(observation))


def _shifts(observation: Observation) -> pd.DataFrame:
    windows = split_windows(observation)
    normal, late = windows.normal.to_numpy(), windows.anomalous.to_numpy()
    size = np.nanmax(np.abs(np.vstack([normal, late])), axis=0)
    normal, late = normal / size, late / size  # so that no square overflows; it varies: size > 0
    before, after = np.nanmedian(normal, axis=0), np.nanmedian(late, axis=0)
    spread = np.maximum(
        _MAD * np.nanmedian(np.abs(normal - before), axis=0), 0.1 * np.nanstd(normal, axis=0)
    )
    level = np.maximum(np.abs(before), np.abs(after))
    spread = np.maximum(spread, 0.001 * level)
    moved = after - before
    return pd.DataFrame(
        {
            "service": [service_of(name) for name in windows.indicators],
            "metric": [name.partition("_")[2] for name in windows.indicators],
            "before": before * size,
            "after": after * size,
            "score": moved / np.where(spread > 0, spread, 1.0),
            "change": moved / np.where(level > 0, level, 1.0),
        },
        index=windows.indicators,
    )
