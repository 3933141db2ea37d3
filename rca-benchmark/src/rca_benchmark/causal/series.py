"""The complete, standardised matrix that causal discovery works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.errors import MethodFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

# Share of a variable's variance that others must leave for it not to count as determined by them.
SINGULAR: Final = 1e-8
MOST_GAPS: Final = 0.5
FEWEST_ROWS: Final = 4


@dataclass(frozen=True, eq=False)
class Series:
    """Indicators over all rows, without gaps.

    Attributes:
        names: of the N indicators that were kept, sorted.
        values: T x N, read-only; each column has mean 0 and standard deviation 1 (ddof 0).
        same_as: by indicator that is another one but for scale and offset: the one that was kept.
        left_out: by indicator that carries nothing: the reason.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    same_as: Mapping[str, str]
    left_out: Mapping[str, str]

    @cached_property
    def correlations(self) -> NDArray[np.float64]:
        """Pearson correlations, N x N, read-only; 1 on the diagonal."""
        matrix = np.clip(self.values.T @ self.values / len(self.values), -1.0, 1.0)
        np.fill_diagonal(matrix, 1.0)
        matrix.setflags(write=False)
        return matrix

    def position(self, name: str | None) -> int:
        """The column that stands for an indicator, such as the SLI.

        Raises:
            MethodFailed: there is none, or it carries nothing.
        """
        if name is None:
            raise MethodFailed("the observation has no SLI")
        if name in self.left_out:
            raise MethodFailed(f"{name} cannot be used: {self.left_out[name]}")
        return self.names.index(self.same_as.get(name, name))

    def by_indicator(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """Scores of the columns (length N) by indicator, those that are the same included."""
        found = dict(zip(self.names, map(float, scores), strict=True))
        return found | {name: found[kept] for name, kept in self.same_as.items()}


def complete_series(metrics: pd.DataFrame) -> Series:
    """All indicators over all rows as one matrix that has no gap, no constant and no twin.

    Columns are sorted by name, so that no result depends on their order. A gap takes the value
    on the line between its neighbours, at the ends that of the nearest; infinite values are gaps.

    Args:
        metrics: ``time`` and one column per indicator.

    Raises:
        MethodFailed: there are fewer than 4 rows, or no indicator is left.
    """
    columns: list[str] = metrics.columns.tolist()[1:]
    order = sorted(range(len(columns)), key=columns.__getitem__)
    names = [columns[place] for place in order]
    raw = metrics.iloc[:, 1:].to_numpy(dtype=np.float64)[:, order]
    if len(raw) < FEWEST_ROWS:
        raise MethodFailed(f"{len(raw)} rows are too few; needed are {FEWEST_ROWS}")
    gaps = ~np.isfinite(raw)
    left_out = {
        names[column]: "more gaps than values"
        for column in np.flatnonzero(gaps.mean(axis=0) > MOST_GAPS)
    }
    kept = [column for column, name in enumerate(names) if name not in left_out]
    values = _interpolate(raw[:, kept], gaps[:, kept])
    values, varies = _standardise(values)
    left_out |= {names[kept[place]]: "it does not vary" for place in np.flatnonzero(~varies)}
    kept_names = [names[column] for column, keep in zip(kept, varies, strict=True) if keep]
    if not kept_names:
        raise MethodFailed("no indicator of a candidate varies")
    twins = _twins(values[:, varies])
    same_as = {
        kept_names[place]: kept_names[first] for place, first in enumerate(twins) if place != first
    }
    single = np.flatnonzero(twins == np.arange(len(twins)))
    matrix = np.ascontiguousarray(values[:, varies][:, single])
    matrix.setflags(write=False)
    return Series(tuple(kept_names[place] for place in single), matrix, same_as, left_out)


def independent_columns(
    correlations: NDArray[np.float64], rows: int, first: int | None = None
) -> NDArray[np.int64]:
    """Columns that no others determine, in ascending order: a pivoted Cholesky factorisation.

    Each step takes the column of which most variance is left (the first of equals), until what is
    left is below ``SINGULAR`` or there are ``rows`` - 2 of them.

    Args:
        correlations: N x N.
        rows: from how many they were computed.
        first: a column that is taken first, such as the SLI.
    """
    left = np.ones(len(correlations))
    factor = np.zeros((0, len(correlations)))
    chosen: list[int] = []
    while len(chosen) < min(len(correlations), rows - 2):
        pivot = int(np.argmax(left)) if chosen or first is None else first
        if left[pivot] < SINGULAR:
            break
        row = (correlations[pivot] - factor[:, pivot] @ factor) / np.sqrt(left[pivot])
        factor = np.vstack([factor, row])
        left = left - row**2
        left[pivot] = -np.inf
        chosen.append(pivot)
    return np.array(sorted(chosen), dtype=np.int64)


def _interpolate(values: NDArray[np.float64], gaps: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows = np.arange(len(values))
    for column in np.flatnonzero(gaps.any(axis=0)):
        gap = gaps[:, column]
        values[gap, column] = np.interp(rows[gap], rows[~gap], values[~gap, column])
    return values


def _standardise(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean 0 and standard deviation 1; and which columns vary beyond rounding."""
    size = np.abs(values).max(axis=0, initial=0.0)
    size[size == 0] = 1.0
    scaled = values / size  # so that no square overflows
    centered = scaled - scaled.mean(axis=0)
    spread = np.sqrt((centered**2).mean(axis=0))
    varies = spread > 100 * np.finfo(np.float64).eps
    standard = centered / np.where(varies, spread, 1.0)
    return standard, varies


def _twins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each column the first kept one that it equals but for scale and offset, maybe itself."""
    equal = (values.T @ values / len(values)) ** 2 > 1.0 - SINGULAR
    np.fill_diagonal(equal, val=True)
    found = np.arange(len(equal))
    for column in np.flatnonzero(np.triu(equal, 1).any(axis=1)):
        if found[column] == column:
            followers = np.flatnonzero(equal[column, column:]) + column
            found[followers] = np.minimum(found[followers], column)
    return found
