"""Real values to a few levels: the exact k-means of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def kmeans_levels(values: NDArray[np.float64], levels: int) -> NDArray[np.int64]:
    """Each column's clusters of least squared error, numbered from low to high.

    In one dimension clusters are intervals, so dynamic programming over the sorted values finds
    the optimum (Wang and Song, The R Journal 2011); no start has to be chosen. Rows that were best
    for two positions bound what can be best between them, which leaves O(T log T) sums per
    cluster. All columns are worked on together.

    Args:
        values: T x N, finite, of moderate size (squares must not overflow).
        levels: how many clusters; where a column has fewer distinct values, each is its own.

    Returns:
        T x N, 0 to ``levels`` - 1. Equal values are in the same cluster.
    """
    rows, columns = values.shape
    order = np.sort(values, axis=0).T
    starts = _cluster_starts(order, min(levels, rows))
    found = np.empty((rows, columns), dtype=np.int64)
    for column in range(columns):
        edges = np.unique(order[column, starts[column]])
        edges = edges[edges > order[column, 0]]  # a cluster may start amid the lowest equal values
        found[:, column] = np.searchsorted(edges, values[:, column], side="right")
    return found


def _cluster_starts(order: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    """Where each column's second and later clusters start: columns x (clusters - 1).

    Args:
        order: columns x rows, each row of the array sorted.
        clusters: at most as many as there are rows.
    """
    columns, rows = order.shape
    centered = order - order.mean(axis=1, keepdims=True)
    zeros = np.zeros((columns, 1))
    sums = np.hstack([zeros, centered.cumsum(axis=1)])
    squares = np.hstack([zeros, (centered**2).cumsum(axis=1)])
    ends = np.arange(1, rows + 1)
    errors = squares[:, 1:] - sums[:, 1:] ** 2 / ends  # of one cluster up to each row
    firsts = []
    for _ in range(clusters - 1):
        errors, first = _with_one_more(errors, sums, squares)
        firsts.append(first)
    starts = np.empty((columns, clusters - 1), dtype=np.int64)
    last = np.full(columns, rows - 1)
    for layer in reversed(range(clusters - 1)):
        starts[:, layer] = firsts[layer][np.arange(columns), last]
        last = starts[:, layer] - 1
    return starts


def _with_one_more(
    errors: NDArray[np.float64], sums: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Least errors up to each row with one more cluster, and where that cluster starts.

    The start for a row lies between those of rows before and after it, so rows are solved at ever
    smaller strides.

    Args:
        errors: columns x rows, without the additional cluster.
        sums: columns x (rows + 1): of all values before a row.
        squares: the same of their squares.
    """
    columns, rows = errors.shape
    best = np.full((columns, rows), np.inf)
    first = np.zeros((columns, rows), dtype=np.int64)
    stride = 1 << (rows - 1).bit_length()
    while stride:
        ends = np.arange(stride - 1, rows, 2 * stride)
        low = np.zeros((columns, len(ends)), dtype=np.int64)
        low[:, 1:] = first[:, ends[1:] - stride]
        high = np.broadcast_to(ends, low.shape).copy()
        inner = ends + stride < rows
        high[:, inner] = np.minimum(high[:, inner], first[:, ends[inner] + stride])
        low, high = np.maximum(low, 1), np.maximum(high, 1)
        chosen, error = _least(errors, sums, squares, ends, low, high)
        first[:, ends], best[:, ends] = chosen, error
        stride //= 2
    return best, first


def _least(
    errors: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    ends: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best start between ``low`` and ``high`` of a cluster that ends at ``ends``, its error.

    Args:
        errors: columns x rows, of the clusters before.
        sums: columns x (rows + 1): of all values before a row.
        squares: the same of their squares.
        ends: the E last rows of the additional cluster.
        low: columns x E, 1 or more.
        high: columns x E, not below ``low``.
    """
    lengths = (high - low + 1).ravel()
    begins = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(begins, lengths)
    start = np.repeat(low.ravel(), lengths) + place
    column = np.repeat(np.repeat(np.arange(len(errors)), len(ends)), lengths)
    end = np.repeat(np.tile(ends, len(errors)), lengths) + 1
    size = np.maximum(end - start, 1)
    total = sums[column, end] - sums[column, start]
    error = errors[column, start - 1] + squares[column, end] - squares[column, start]
    error = np.where(end > start, error - total**2 / size, np.inf)
    least = np.minimum.reduceat(error, begins)
    hits = np.flatnonzero(error == np.repeat(least, lengths))
    hit = hits[np.searchsorted(hits, begins)]
    return start[hit].reshape(low.shape), least.reshape(low.shape)
