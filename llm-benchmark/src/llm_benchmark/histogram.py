"""Distributions in constant memory: histograms whose bins grow with the value.

The idea is Gil Tene's HdrHistogram (http://hdrhistogram.org): bins of equal relative width, so that
a quantile is wrong by at most half a bin wherever it lies. Here a bin is the leading bits of the
value's float64: its exponent and the first 12 bits of its mantissa. A bin is at most 1/4096 of its
value wide; a quantile, taken in its middle, is off by at most 0.013 %. Mean, minimum and maximum
are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANTISSA_BITS = 12
_DROPPED_BITS = 52 - MANTISSA_BITS


class Histogram:
    """Counts of values at or above zero; values may be added and histograms merged at any time."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._first = 0
        self.count = 0
        self._sum = 0.0
        self._least = np.inf
        self._most = -np.inf

    def add(self, values: NDArray[Any]) -> None:
        """Count values, shape (any,), each at or above zero; not a number is not allowed."""
        if not len(values):
            return
        numbers = np.asarray(values, np.float64)
        self._add_counts(*np.unique(_bins(numbers), return_counts=True))
        self.count += len(numbers)
        self._sum += float(numbers.sum())
        self._least = min(self._least, float(numbers.min()))
        self._most = max(self._most, float(numbers.max()))

    def merge(self, other: Histogram) -> None:
        """Count what another histogram has counted."""
        bins = np.flatnonzero(other._counts)
        self._add_counts(bins + other._first, other._counts[bins])
        self.count += other.count
        self._sum += other._sum
        self._least = min(self._least, other._least)
        self._most = max(self._most, other._most)

    @property
    def mean(self) -> float | None:
        """The mean; None of nothing."""
        return self._sum / self.count if self.count else None

    @property
    def maximum(self) -> float | None:
        """The largest value; None of nothing."""
        return self._most if self.count else None

    def quantile(self, share: float) -> float | None:
        """Return the smallest value that this share of all values does not exceed (nearest rank).

        Args:
            share: Above 0, at most 1.

        Returns:
            The middle of the value's bin, no less than the smallest value and no more than the
            largest; None of nothing.
        """
        if not self.count:
            return None
        rank = max(1, int(np.ceil(share * self.count)))
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        low, high = _edges(self._first + place)
        return min(max((low + high) / 2, self._least), self._most)

    def _add_counts(self, bins: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        if not len(bins):
            return
        first, last = int(bins[0]), int(bins[-1])
        if not len(self._counts):
            self._first = first
        low = min(first, self._first)
        high = max(last, self._first + len(self._counts) - 1)
        if low < self._first or high >= self._first + len(self._counts):
            grown = np.zeros(high - low + 1, np.int64)
            start = self._first - low
            grown[start : start + len(self._counts)] = self._counts
            self._first, self._counts = low, grown
        self._counts[bins - self._first] += counts


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    # Bits of positive floats, read as integers, are ordered as the floats are. One is added so that
    # zero does not lie a million bins below one.
    return (values + 1.0).view(np.int64) >> _DROPPED_BITS


def _edges(place: int) -> tuple[float, float]:
    bits = np.array([place, place + 1], np.int64) << _DROPPED_BITS
    low, high = (bits.view(np.float64) - 1).tolist()
    return low, high
