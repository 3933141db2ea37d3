"""Whether a second recording of a plan says the same as the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.validity.effects import moves
from rca_benchmark.validity.leaks import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rca_benchmark.validity.recordings import Recording

# Share of repeated cases that lie inside the spread if nothing has changed.
CONFIDENCE: Final = 0.99


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

    The spread of a fault is the prediction interval of one further case, at ``CONFIDENCE``, from
    the first recording's cases of that fault: mean +- t s sqrt(1 + 1/n) of the logarithm of
    during / before (Hahn & Meeker, Statistical Intervals, 2nd ed. 2017, section 4.7). With fewer
    than two cases there is none.

    Returns:
        ``case``, ``fault``, ``change``, ``low``, ``high`` (relative changes), ``inside``.
    """
    seen, repeated = (_sli_changes(recordings, sli) for recordings in (first, second))
    rows = []
    for row in repeated.to_dict("records"):
        low, high = _spread(seen.loc[seen["fault"] == row["fault"], "change"])
        inside = low <= row["change"] <= high
        rows.append((row["case"], row["fault"], row["change"], low, high, inside))
    return pd.DataFrame(rows, columns=["case", "fault", "change", "low", "high", "inside"])


def _sli_changes(recordings: Sequence[Recording], sli: str | None) -> pd.DataFrame:
    table = moves(recordings)
    return table.loc[table["indicator"] == sli, ["case", "fault", "change"]]


def _spread(changes: pd.Series[Any]) -> tuple[float, float]:
    from scipy import stats

    logs = np.log1p(changes.dropna().to_numpy(dtype=np.float64))
    if logs.size < 2:
        return np.nan, np.nan
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, logs.size - 1) * logs.std(ddof=1)
    reach *= np.sqrt(1 + 1 / logs.size)
    low, high = np.expm1([logs.mean() - reach, logs.mean() + reach])
    return float(low), float(high)
