"""How far an indicator moves during a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# An indicator has moved when its median during the fault is this many robust standard deviations
# from its median before.
MOVED_Z: Final = 3.0
# One that did not vary before has no deviation to measure with: it has moved when its median
# changed by more than this share.
MATERIAL: Final = 0.1
_MAD_TO_SIGMA: Final = 1.4826


class Movement(NamedTuple):
    """Means and medians before and during, the robust z of the change, and whether it is one.

    An indicator that did not vary before has no scale and its z is None; see ``MATERIAL``. Without
    a sample on either side nothing is known, and it has not moved.
    """

    before: float | None
    during: float | None
    median_before: float | None
    median_during: float | None
    z: float | None
    moved: bool


def movement(before: pd.Series[float], during: pd.Series[float]) -> Movement:
    """The movement between two spans of one indicator.

    z = (median during - median before) / (1.4826 * MAD before).
    """
    calm = before[np.isfinite(before)]
    fault = during[np.isfinite(during)]
    middles = _median(calm), _median(fault)
    if middles[0] is None or middles[1] is None:
        return Movement(_mean(calm), _mean(fault), *middles, None, moved=False)
    change = middles[1] - middles[0]
    scale = _MAD_TO_SIGMA * float((calm - middles[0]).abs().median())
    z = change / scale if scale > 0 else None
    moved = abs(z) >= MOVED_Z if z is not None else abs(change) > MATERIAL * abs(middles[0])
    return Movement(_mean(calm), _mean(fault), *middles, z, moved)


def _mean(values: pd.Series[float]) -> float | None:
    return None if values.empty else float(values.mean())


def _median(values: pd.Series[float]) -> float | None:
    return None if values.empty else float(values.median())
