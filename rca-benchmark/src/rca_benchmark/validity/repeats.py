"""Whether a second recording of a plan says the same as the first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.validity.effects import moves
from rca_benchmark.validity.leaks import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from rca_benchmark.validity.recordings import Recording

# Share of repeated cases that lie inside the spread if nothing has changed.
CONFIDENCE: Final = 0.99
# With fewer degrees of freedom the interval is so wide that nearly everything lies inside.
FREEDOM: Final = 3


def schema_differences(first: Sequence[Recording], second: Sequence[Recording]) -> list[str]:
    """Names of the ``leaks.PROPERTIES`` whose values the two recordings do not share."""
    return [
        name
        for name, of in PROPERTIES.items()
        if {of(recording) for recording in first} != {of(recording) for recording in second}
    ]


def repeat_table(
    first: Sequence[Recording], second: Sequence[Recording], sli: str | None
) -> pd.DataFrame:
    """One row per case of the second recording: its SLI's change and where it was to be expected.

    The spread of a fault at a target is the prediction interval of one further case, at
    ``CONFIDENCE``, from the first recording's cases: mean +- t s sqrt(1 + 1/n) of the logarithm of
    during / before (Hahn & Meeker, Statistical Intervals, 2nd ed. 2017, section 4.7). Mean and n
    are of the cases at that target; s, and the degrees of freedom of t, of the fault's cases at all
    targets, each about the mean of its target. With fewer than ``FREEDOM`` degrees there is none,
    nor where an SLI fell to 0, which has no logarithm.

    Returns:
        ``case``, ``fault``, ``target``, ``change``, ``low``, ``high`` (relative changes; low and
        high null where there is no spread), ``inside``.
    """
    seen, repeated = (_sli_changes(recordings, sli) for recordings in (first, second))
    spreads = [
        _spread(seen[seen["fault"] == row["fault"]], row["target"])
        for row in repeated.to_dict("records")
    ]
    repeated["low"], repeated["high"] = np.reshape(spreads, (-1, 2)).T
    repeated["inside"] = repeated["change"].between(repeated["low"], repeated["high"])
    return repeated.reset_index(drop=True)


def _sli_changes(recordings: Sequence[Recording], sli: str | None) -> pd.DataFrame:
    table = moves(recordings)
    return table.loc[table["indicator"] == sli, ["case", "fault", "target", "change"]]


def _spread(cases: pd.DataFrame, target: str) -> tuple[float, float]:
    from scipy import stats

    cases = cases.dropna(subset="change")
    if (cases["change"] <= -1).any():
        return np.nan, np.nan
    logs = cases["change"].map(math.log1p)
    grouped = logs.groupby(cases["target"])
    here = logs[cases["target"] == target]
    freedom = len(logs) - grouped.ngroups
    if here.empty or freedom < FREEDOM:
        return np.nan, np.nan
    deviation = np.sqrt(((logs - grouped.transform("mean")) ** 2).sum() / freedom)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * deviation * np.sqrt(1 + 1 / len(here))
    low, high = np.expm1([here.mean() - reach, here.mean() + reach])
    return float(low), float(high)
