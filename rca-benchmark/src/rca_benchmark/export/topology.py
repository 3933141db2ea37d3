"""Edges between services (from traces) and from services to nodes (from the placement file)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rca_benchmark.case import EDGE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

Placement = dict[str, dict[str, str]]


def read_placement(path: Path) -> Placement:
    """Where each service runs: ``{service: {"address": ..., "node": ...}}``.

    Raises:
        ExportError: the file cannot be read or breaks the schema.
    """
    try:
        placement = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error
    if not isinstance(placement, dict) or not placement:
        raise ExportError(f"{path}: must map each service to its address and node")
    for service, place in placement.items():
        if not isinstance(place, dict) or not isinstance(place.get("node"), str):
            raise ExportError(f"{path}: {service} has no node")
        if "_" in service or "_" in place["node"]:
            raise ExportError(f"{path}: {service}: a service or node name holds no underscore")
    return placement


def build_topology(
    traces: pd.DataFrame, placement: Mapping[str, Mapping[str, str]]
) -> pd.DataFrame:
    """All edges, without repeats, sorted: columns of ``case.EDGE_COLUMNS``.

    A call edge runs from the service of a parent span to the service of its child span, where the
    two differ; parents are looked up inside their own trace.
    """
    parents = traces[["traceID", "spanID", "serviceName"]]
    children = traces[["traceID", "parentSpanID", "serviceName"]]
    calls = children.merge(
        parents,
        left_on=["traceID", "parentSpanID"],
        right_on=["traceID", "spanID"],
        suffixes=("_child", "_parent"),
    )
    pairs = {
        (source, target, "call")
        for source, target in zip(
            calls["serviceName_parent"], calls["serviceName_child"], strict=True
        )
        if source != target
    }
    hosts = {(service, place["node"], "host") for service, place in placement.items()}
    return typed_table(sorted(pairs | hosts), EDGE_COLUMNS)
