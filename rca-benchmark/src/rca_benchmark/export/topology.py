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
    traces: pd.DataFrame, placement: Placement, calls: frozenset[tuple[str, str]] = frozenset()
) -> pd.DataFrame:
    """All edges, without repeats, sorted: columns of ``case.EDGE_COLUMNS``.

    Args:
        traces: columns of ``case.TRACE_COLUMNS``.
        placement: gives an edge of kind ``host`` from each service to its node.
        calls: further pairs of caller and callee, such as a mesh has seen.
    """
    parents = parent_rows(traces)
    linked = parents >= 0
    services = traces["serviceName"].to_numpy()
    pairs = pd.DataFrame({"source": services[parents[linked]], "target": services[linked]})
    seen = {tuple(pair) for pair in pairs.drop_duplicates().to_numpy().tolist()}
    edges = {(source, target, "call") for source, target in seen | calls if source != target}
    edges |= {(service, node, "host") for service, node in placement.hosts()}
    return typed_table(sorted(edges), EDGE_COLUMNS)


def start_skew(traces: pd.DataFrame) -> dict[str, float]:
    """By how much spans begin before the spans that caused them, at most, in seconds.

    Keys are ``spans CALLER -> CALLEE``; pairs of services where that never happens are left out.
    """
    parents = parent_rows(traces)
    linked = parents >= 0
    services, starts = traces["serviceName"].to_numpy(), traces["startTime"].to_numpy()
    early = pd.DataFrame(
        {
            "caller": services[parents[linked]],
            "callee": services[linked],
            "us": starts[parents[linked]] - starts[linked],
        }
    )
    worst = early[early["us"] > 0].groupby(["caller", "callee"])["us"].max().reset_index()
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
