"""The catalogue of indicators: which query yields which metric (``queries/<platform>.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Literal

import yaml

from rca_benchmark.errors import ExportError


@dataclass(frozen=True)
class Query:
    """One metric of the catalogue.

    Attributes:
        metric: the part of the column name after ``<service>_``.
        unit: unit of its values.
        meaning: one sentence.
        query: PromQL that returns one series per value of the label ``service``.
        kind: whether ``service`` names a service or a node.
        services: pattern of the services or nodes that have this metric.
    """

    metric: str
    unit: str
    meaning: str
    query: str
    kind: Literal["service", "node"]
    services: str = "*"

    def columns(self, names: tuple[str, ...]) -> list[str]:
        """The columns this query must yield, given all services or nodes there are."""
        return [f"{name}_{self.metric}" for name in names if fnmatchcase(name, self.services)]


def read_catalogue(platform: str) -> tuple[Query, ...]:
    """The queries of a platform, in the order of the file.

    Raises:
        ExportError: the file breaks its schema.
    """
    path = resources.files("rca_benchmark.export") / "queries" / f"{platform}.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        queries = tuple(Query(**entry) for entry in entries)
    except TypeError as error:
        raise ExportError(f"queries/{platform}.yaml: {error}") from error
    if bad := [query.metric for query in queries if query.kind not in ("service", "node")]:
        raise ExportError(f"queries/{platform}.yaml: {bad[0]}: kind must be service or node")
    names = [query.metric for query in queries]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ExportError(f"queries/{platform}.yaml: metric occurs twice: {sorted(twice)}")
    return queries
