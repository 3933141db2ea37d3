"""From an observation to the windows that methods compare. Every step is explicit and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    import pandas as pd

    from rca_benchmark.case import Observation

FILL_LIMIT = 5


@dataclass(frozen=True, eq=False)
class Windows:
    """Metrics before and after the inject time, one column per indicator, without ``time``.

    Attributes:
        normal: rows before the inject time.
        anomalous: rows from the inject time on.
        constant: indicators left out because they never change in both windows together.
        empty: indicators left out because one of the windows holds no value of theirs.
        infinite: number of infinite values that became gaps.
        filled: number of gaps filled with the value before them.
        gaps: number of gaps that remain (null).
    """

    normal: pd.DataFrame
    anomalous: pd.DataFrame
    constant: tuple[str, ...]
    empty: tuple[str, ...]
    infinite: int
    filled: int
    gaps: int


def split_windows(
    observation: Observation, *, length: int | None = None, fill_limit: int = FILL_LIMIT
) -> Windows:
    """Cut the metrics at the inject time.

    A gap takes the value before it, for at most ``fill_limit`` rows; nothing is filled backwards
    and nothing is interpolated. Whether an indicator is constant is decided over both windows
    together: one that is constant before the fault and changes during it is a finding.

    Args:
        observation: not modified.
        length: rows to keep on each side of the inject time; all where None.
        fill_limit: longest run of gaps that is filled; 0 fills none.

    Raises:
        MethodFailed: there is no inject time, or no indicator is left.
    """
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    times = observation.metrics["time"].to_numpy()
    cut = int(np.searchsorted(times, observation.inject_time_ns))
    first = 0 if length is None else max(0, cut - length)
    last = times.size if length is None else cut + length
    values = observation.metrics.drop(columns="time")
    infinite = values.isin([np.inf, -np.inf])
    gappy = values.mask(infinite)
    filled = gappy.ffill(limit=fill_limit) if fill_limit else gappy
    normal, anomalous = filled.iloc[first:cut], filled.iloc[cut:last]
    both = filled.iloc[first:last]
    empty = normal.isna().all() | anomalous.isna().all()
    constant = (both.max() == both.min()) & ~empty
    keep = list(values.columns[~(empty | constant)])
    if not keep:
        raise MethodFailed("no indicator varies and has values before and after the inject time")
    return Windows(
        normal=normal[keep],
        anomalous=anomalous[keep],
        constant=tuple(values.columns[constant]),
        empty=tuple(values.columns[empty]),
        infinite=int(infinite.to_numpy()[first:last].sum()),
        filled=int((gappy.isna() & filled.notna()).to_numpy()[first:last].sum()),
        gaps=int(both[keep].isna().to_numpy().sum()),
    )
