"""Edges between services (from traces) and from services to nodes (from the placement record)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rca_benchmark.case import EDGE_COLUMNS, typed_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.export.placement import Placement


def build_topology(
    traces: pd.DataFrame,
    parents: NDArray[np.int64],
    placement: Placement,
    calls: frozenset[tuple[str, str]] = frozenset(),
) -> pd.DataFrame:
    """All edges, without repeats, sorted: columns of ``case.EDGE_COLUMNS``.

    Args:
        traces: columns of ``case.TRACE_COLUMNS``.
        parents: from ``parent_rows``.
        placement: gives an edge of kind ``host`` from each service to its node.
        calls: further pairs of caller and callee, such as a mesh has seen.
    """
    linked = parents >= 0
    codes, names = pd.factorize(traces["serviceName"])
    pairs = set(zip(codes[parents[linked]].tolist(), codes[linked].tolist(), strict=True))
    seen = {(str(names[caller]), str(names[callee])) for caller, callee in pairs}
    edges = {(source, target, "call") for source, target in seen | calls if source != target}
    edges |= {(service, node, "host") for service, node in placement.hosts()}
    return typed_table(sorted(edges), EDGE_COLUMNS)


def start_skew(traces: pd.DataFrame, parents: NDArray[np.int64]) -> dict[str, float]:
    """By how much spans begin before the spans that caused them, at most, in seconds.

    Keys are ``spans CALLER -> CALLEE``; pairs of services where that never happens are left out.
    """
    starts = traces["startTime"].to_numpy()
    children = np.flatnonzero(parents >= 0)
    lead = starts[parents[children]] - starts[children]
    early = children[lead > 0]
    services = traces["serviceName"]
    table = pd.DataFrame(
        {
            "caller": services.iloc[parents[early]].to_numpy(),
            "callee": services.iloc[early].to_numpy(),
            "us": lead[lead > 0],
        }
    )
    worst = table.groupby(["caller", "callee"])["us"].max().reset_index()
    return {
        f"spans {pair['caller']} -> {pair['callee']}": round(pair["us"] / 1e6, 6)
        for pair in worst.to_dict("records")
    }


def parent_rows(traces: pd.DataFrame) -> NDArray[np.int64]:
    """The row of each span's parent inside its own trace; -1 where it has none.

    Of several spans with the same identity the first one is the parent.
    """
    rows = len(traces)
    trace = pd.factorize(traces["traceID"])[0].astype(np.int64)
    spans, _ = pd.factorize(pd.concat([traces["spanID"], traces["parentSpanID"]]))
    width = np.int64(spans.max() + 1) if rows else np.int64(1)
    own, parent = trace * width + spans[:rows], trace * width + spans[rows:]
    order = np.argsort(own, kind="stable")
    place = np.searchsorted(own[order], parent)
    found = np.minimum(place, max(rows - 1, 0))
    matches = (place < rows) & (own[order][found] == parent) if rows else np.zeros(0, dtype=bool)
    matches &= (traces["parentSpanID"] != "").to_numpy(dtype=bool)
    return np.where(matches, order[found] if rows else found, -1)
