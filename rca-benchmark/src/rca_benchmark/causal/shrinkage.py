"""A covariance that can be inverted, however few rows there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shrunk_covariance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sample covariance drawn towards a multiple of the identity.

    Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices:
    (1 - s) S + s m I with m the mean variance and s the weight of least expected squared error,
    estimated from the data. The weight is at least 1 / T, which that of normal data is anyway:
    two rows, which look alike in every product, would otherwise leave a singular matrix.

    Args:
        values: T x N, each column with mean 0; at least one varies.

    Returns:
        N x N, positive definite.
    """
    rows, columns = values.shape
    sample = values.T @ values / rows
    target = np.trace(sample) / columns * np.eye(columns)
    distance = float(((sample - target) ** 2).sum())
    squares = values**2
    error = float((squares.T @ squares).sum() / rows - (sample**2).sum()) / rows
    weight = max(min(error / distance, 1.0), 1.0 / rows) if distance > 0 else 1.0
    shrunk: NDArray[np.float64] = (1 - weight) * sample + weight * target
    return shrunk
