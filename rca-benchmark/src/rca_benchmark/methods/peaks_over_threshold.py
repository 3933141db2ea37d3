"""Thresholds for anomalies from extreme value theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RISK: Final = 1e-3
PEAKS: Final = 0.02
FEWEST_PEAKS: Final = 10
HEAVIEST_TAIL: Final = 0.5


def thresholds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value that each column exceeds with a chance of ``RISK``.

    Siffer, Fouque, Termier, Largouet: Anomaly Detection in Streams with Extreme Value Theory,
    KDD 2017: what the largest values exceed a high quantile by follows a generalised Pareto
    distribution, whose quantile is the threshold. It is fitted by probability-weighted moments
    (Hosking, Wallis 1987), which are in closed form and better than maximum likelihood for a few
    dozen peaks. The tail is taken as no heavier than ``HEAVIEST_TAIL``: from there on the moments
    do not exist.

    Args:
        values: T x N, T >= 2, complete.

    Returns:
        Length N, at least the quantile; the largest value where all peaks are the same.
    """
    rows = len(values)
    peaks = min(max(FEWEST_PEAKS, round(PEAKS * rows)), rows - 1)
    ordered = np.sort(values, axis=0)
    base = ordered[rows - peaks - 1]
    excess = ordered[rows - peaks :] - base
    position = (np.arange(1, peaks + 1) - 0.35) / peaks
    mean = excess.mean(axis=0)
    weighted = ((1 - position)[:, None] * excess).mean(axis=0)
    varies = mean - 2 * weighted > 1e-12 * mean
    shape = 2 - mean / np.where(varies, mean - 2 * weighted, 1.0)
    shape = np.where(np.abs(shape) < 1e-6, 1e-6, np.minimum(shape, HEAVIEST_TAIL))
    scale = mean * (1 - shape)
    tail = base + scale / shape * ((RISK * rows / peaks) ** -shape - 1)
    found: NDArray[np.float64] = np.maximum(np.where(varies, tail, ordered[-1]), base)
    return found
