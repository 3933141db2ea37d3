"""Logs and traces as time series, in the tables that RCAEval's multi-source methods read.

One row per 5 s, as there: ``logts`` counts lines, ``tracets_err`` counts failed spans, and
``tracets_lat`` is the mean duration of spans. (The published exporter of the LLM reference stack
filled the latter with a count of successful spans.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.dataset.layout import SECOND_NS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

BIN_S: Final = 5
_OTLP_ERROR: Final = 2
_FIRST_HTTP_ERROR: Final = 400


def write_series(directory: Path, observation: Observation) -> None:
    """Write ``logts.csv``, ``tracets_lat.csv``, ``tracets_err.csv``, those that have a source."""
    if not observation.logs.empty:
        log_series(observation).to_csv(directory / "logts.csv", index=False)
    if not observation.traces.empty:
        latency, errors = span_series(observation)
        latency.to_csv(directory / "tracets_lat.csv", index=False)
        errors.to_csv(directory / "tracets_err.csv", index=False)


def log_series(observation: Observation) -> pd.DataFrame:
    """Lines per 5 s: ``time`` (epoch s, start of the 5 s), then a column per service, sorted."""
    bins = _bins(observation)
    logs = observation.logs
    count, names, _ = _cells(bins, logs["time"].to_numpy() // SECOND_NS, logs["service"])
    return _table(bins, names, count.astype(np.int64))


def span_series(observation: Observation) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean duration in µs (null where no span begins), and failed spans, per 5 s.

    Columns: ``time`` (epoch s), then ``<service>_<method>``, sorted. A span has failed with an HTTP
    status of 400 or more, or with OTLP's status 2.
    """
    bins = _bins(observation)
    spans = observation.traces
    start_s = spans["startTime"].to_numpy() // 1_000_000
    named = spans["serviceName"] + "_" + spans["methodName"]
    duration = spans["duration"].to_numpy(dtype=np.float64)
    count, names, total = _cells(bins, start_s, named, duration)
    mean = np.full(count.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    code = spans["statusCode"].to_numpy()
    failed = ((code >= _FIRST_HTTP_ERROR) | (code == _OTLP_ERROR)).astype(np.float64)
    _, _, errors = _cells(bins, start_s, named, failed)
    return _table(bins, names, mean), _table(bins, names, errors.astype(np.int64))


def _bins(observation: Observation) -> NDArray[np.int64]:
    seconds = observation.metrics["time"].to_numpy()[[0, -1]] // SECOND_NS
    first, last = seconds // BIN_S * BIN_S
    return np.arange(first, last + 1, BIN_S, dtype=np.int64)


def _cells(
    bins: NDArray[np.int64],
    seconds: NDArray[np.int64],
    named: pd.Series[str],
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], list[str], NDArray[np.float64]]:
    """Rows and sums of weights by (bin, name), and the names, sorted."""
    codes, names = pd.factorize(named, sort=True)
    rows = (seconds - bins[0]) // BIN_S
    inside = (rows >= 0) & (rows < bins.size)
    cells, shape = rows[inside] * len(names) + codes[inside], (bins.size, len(names))
    size = bins.size * len(names)
    count = np.bincount(cells, minlength=size).astype(np.float64).reshape(shape)
    if weights is None:
        return count, list(names), count
    total = np.bincount(cells, weights=weights[inside], minlength=size).astype(np.float64)
    return count, list(names), total.reshape(shape)


def _table(bins: NDArray[np.int64], names: list[str], values: NDArray) -> pd.DataFrame:  # type: ignore[type-arg] # counts or means
    table = pd.DataFrame(values, columns=names)
    table.insert(0, "time", bins)
    return table
