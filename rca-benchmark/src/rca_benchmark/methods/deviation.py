"""How far the anomalous window leaves the normal one, in units of the normal window's spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.preprocess import Windows


def highest_deviation(
    windows: Windows, center: NDArray[np.float64], scale: NDArray[np.float64]
) -> dict[str, float]:
    """Score of each indicator: max over the anomalous window of (x - center) / scale.

    Signed, as published for both BARO and N-sigma: an indicator that only falls scores low.
    An indicator without spread before the fault is measured relative to its center, so that no
    score depends on a unit; where its center is zero as well, in its own unit. (scikit-learn's
    scalers, which published code uses, take a scale of 1: bytes then outrank everything.)

    Args:
        windows: gives the anomalous window, rows x indicators.
        center: one value per indicator.
        scale: one value per indicator, 0 or more.
    """
    size = np.abs(center)
    flat = scale <= 10 * np.finfo(np.float64).eps * size
    divisor = np.where(flat, np.where(size > 0, size, 1.0), scale)
    highest = np.nanmax(windows.anomalous.to_numpy(), axis=0)
    return dict(zip(windows.anomalous.columns, (highest - center) / divisor, strict=True))
