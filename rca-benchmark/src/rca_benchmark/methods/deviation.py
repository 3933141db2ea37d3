"""How far the anomalous window leaves the normal one, in units of the normal window's spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.preprocess import Windows


def highest_deviation(
    windows: Windows, center: NDArray[np.float64], scale: NDArray[np.float64]
) -> dict[str, float]:
    """Score of each indicator: max over the anomalous window of (x - center) / scale.

    Signed, as published for both BARO and N-sigma: an indicator that only falls scores low.

    Args:
        windows: gives the anomalous window, rows x indicators.
        center: one value per indicator.
        scale: one value per indicator, 0 or more.
    """
    highest = np.nanmax(deviations(windows, center, scale), axis=0)
    return dict(zip(windows.indicators, highest, strict=True))


def deviations(
    windows: Windows, center: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(x - center) / scale of the anomalous window, rows x indicators.

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
    return (windows.anomalous.to_numpy() - center) / divisor


def standard_scores(windows: Windows) -> NDArray[np.float64]:
    """(x - mean) / std of the anomalous window, mean and std of the normal one.

    Shape: rows of the anomalous window x indicators; null where the sample is missing.

    Raises:
        MethodFailed: a standard deviation overflows.
    """
    center, scale = mean_and_deviation(windows.normal.to_numpy())
    return deviations(windows, center, scale)


def mean_and_deviation(
    normal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (ddof 0) of each column of a normal window.

    Raises:
        MethodFailed: a standard deviation overflows.
    """
    try:
        with np.errstate(over="raise"):
            return np.nanmean(normal, axis=0), np.nanstd(normal, axis=0)
    except FloatingPointError as error:
        raise MethodFailed("values too large for a standard deviation") from error
