"""The catalogue of indicators: which query yields which metric (``queries/<platform>.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any, Final, Literal

import yaml

from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterable

PLATFORMS: Final = ("local", "kubernetes")
LOOK_UPS: Final = ("", "pod", "gpu")
COMBINATIONS: Final = ("", "mean", "sum")
LEAST_SCRAPES: Final = 4
NAMESPACE: Final = "ray"
_ORIGINAL: Final = "queries/original.yaml"


@dataclass(frozen=True)
class Query:
    """One metric of the catalogue.

    Attributes:
        metric: the part of the column name after ``<service>_``.
        unit: unit of its values.
        meaning: one sentence.
        query: PromQL that returns one series per value of the label.
        kind: whether the label leads to a service or to a node.
        services: pattern of the services or nodes that have this metric.
        label: the label that says whose series it is.
        look_up: what the label's value is where it is no name: a ``pod`` or a ``gpu`` (UUID) of the
            placement record. Series of pods and GPUs that are not in it are left out.
        combine: how several series of one service become one (``mean`` or ``sum``); empty where
            that is an error.
    """

    metric: str
    unit: str
    meaning: str
    query: str
    kind: Literal["service", "node"]
    services: str = "*"
    label: str = "service"
    look_up: Literal["", "pod", "gpu"] = ""
    combine: Literal["", "mean", "sum"] = ""

    def columns(self, names: Iterable[str]) -> list[str]:
        """The columns this query must yield, given all services or nodes there are."""
        return [f"{name}_{self.metric}" for name in names if fnmatchcase(name, self.services)]


@dataclass(frozen=True)
class Catalogue:
    """All queries of a platform.

    Attributes:
        step_s: distance of two samples, equal to the scrape interval, whole seconds.
        window_s: how far rates and quantiles look back, seconds.
        queries: in the order of the file.
        original: PromQL of the study's own series by their old names, each a single series.
        calls: PromQL of requests by caller and callee, over ``$window``; empty without a mesh.
    """

    step_s: int
    window_s: int
    queries: tuple[Query, ...]
    original: dict[str, str]
    calls: str


def read_catalogue(
    platform: str, *, step_s: int | None = None, namespace: str = NAMESPACE
) -> Catalogue:
    """The queries of a platform, ready to be sent.

    In the file ``$rate`` stands for the window of rates, as many steps as the file says, ``$last``
    for the two steps that gauges look back, and ``$namespace`` for where the stack runs.

    Args:
        platform: one of ``PLATFORMS``.
        step_s: scrape interval, where it is not the platform's usual one.
        namespace: of Kubernetes.

    Raises:
        ExportError: the file breaks its schema, or rates look back less than four scrapes.
    """
    name = f"queries/{platform}.yaml"
    document = _read(name)
    try:
        step = int(step_s or document["step_seconds"])
        scrapes = int(document["scrapes_per_window"])
        blanks = {"rate": f"{scrapes * step}s", "last": f"{2 * step}s", "namespace": namespace}
        queries = tuple(
            Query(**entry | {"query": _fill(entry["query"], blanks)})
            for entry in document["queries"]
        )
        calls = _fill(document.get("calls", ""), blanks | {"window": "$window"})
        original = {name: _fill(text, blanks) for name, text in _read(_ORIGINAL)["series"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{name}: {error}") from error
    if scrapes < LEAST_SCRAPES:
        raise ExportError(f"{name}: rates look back {scrapes} scrapes, at least 4 are needed")
    _check(name, queries)
    return Catalogue(step, scrapes * step, queries, original, calls)


def _fill(text: str, blanks: dict[str, str]) -> str:
    return " ".join(Template(text).substitute(blanks).split())


def _read(name: str) -> dict[str, Any]:
    path = resources.files("rca_benchmark.export") / name
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ExportError(f"{name}: must be a mapping")
    return document


def _check(name: str, queries: tuple[Query, ...]) -> None:
    for query in queries:
        for value, known in (
            (query.kind, ("service", "node")),
            (query.look_up, LOOK_UPS),
            (query.combine, COMBINATIONS),
        ):
            if value not in known:
                raise ExportError(f"{name}: {query.metric}: {value!r} is none of {known}")
    keys = [(query.kind, query.metric, query.services) for query in queries]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ExportError(f"{name}: metric occurs twice: {sorted(twice)}")
