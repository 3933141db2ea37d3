"""Time that spans take beyond what they took before the fault, and to whom it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from rca_benchmark.features.spans import spans_of
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation
    from rca_benchmark.features.spans import Spans

FEWEST: Final = 5
MANY: Final = 100
QUANTILE: Final = 0.99


def span_excess(observation: Observation) -> pd.DataFrame:
    """Self time after the inject time beyond what is normal for the operation.

    Normal is the 99 % quantile of the operation's self time before, or its largest where there are
    fewer than 100 spans; with fewer than 5, nothing is known and nothing counts as excess. The
    self time of a call (``Spans.remote``) is spent on the way.

    Returns:
        One row per (service, callee) with some excess, sorted: ``service``, ``callee`` (empty: the
        time is the service's own), ``seconds`` (sum over the window), ``spans`` (how many exceed),
        ``share`` (of the time of all requests that begin in the window: duration of root spans).
    """
    return shared(observation, "span excess", lambda: _excess(spans_of(observation)))


def failures(observation: Observation) -> pd.DataFrame:
    """Where errors begin: failed spans none of whose callees failed, before and after.

    Returns:
        One row per service with such a span, sorted: ``service``, ``before`` and ``after`` (share
        of its spans), ``spans`` (such spans after the inject time).
    """

    def count() -> pd.DataFrame:
        spans = spans_of(observation)
        inherited = np.zeros(len(spans), dtype=bool)
        children = (spans.parent >= 0) & spans.failed
        inherited[spans.parent[children]] = True
        first = spans.failed & ~inherited
        size = len(spans.services)
        table: dict[str, object] = {"service": list(spans.services)}
        for name, rows in (("before", ~spans.late), ("after", spans.late)):
            all_of = np.bincount(spans.service[rows], minlength=size)
            bad = np.bincount(spans.service[rows & first], minlength=size)
            table[name] = bad / np.maximum(all_of, 1)
            table["spans"] = bad
        found = pd.DataFrame(table, columns=["service", "before", "after", "spans"])
        return found[(found["before"] > 0) | (found["after"] > 0)].reset_index(drop=True)

    return shared(observation, "span failures", count)


def _excess(spans: Spans) -> pd.DataFrame:
    beyond = np.maximum(spans.self_us - _limits(spans)[spans.operation], 0.0)
    beyond = np.where(spans.late & np.isfinite(beyond), beyond, 0.0)
    asked = float(spans.duration_us[(spans.parent < 0) & spans.late].sum())
    names = np.array([*spans.services, ""], dtype=object)  # -1: no callee
    rows = beyond > 0
    table = pd.DataFrame(
        {
            "service": names[spans.service[rows]],
            "callee": names[spans.remote[rows]],
            "seconds": beyond[rows] / 1e6,
        }
    )
    found = table.groupby(["service", "callee"])["seconds"].agg(seconds="sum", spans="count")
    found["share"] = found["seconds"] * 1e6 / max(asked, 1.0)
    return found.reset_index()


def _limits(spans: Spans) -> NDArray[np.float64]:
    """The largest normal self time of each operation, in microseconds; infinite where unknown."""
    early = pd.Series(spans.self_us[~spans.late]).groupby(spans.operation[~spans.late])
    count, quantile, largest = early.count(), early.quantile(QUANTILE), early.max()
    limits = np.full(len(spans.operations), np.inf)
    known = count.index[count >= FEWEST].to_numpy()
    limits[known] = np.where(count >= MANY, quantile, largest)[count >= FEWEST]
    return limits
