"""Services, who calls whom, and one response time for each: what call-graph methods work on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.spans import spans_of
from rca_benchmark.methods.inputs import series_of
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

# How long a service takes to answer, in the words of the data sets and of LLM serving.
RESPONSE_TIME: Final = re.compile(r"latency|response|duration|processing|ttft|queue-time")


@dataclass(frozen=True, eq=False)
class ServiceSeries:
    """One series per service that has an indicator which varies.

    Attributes:
        services: the S names, sorted.
        response: T x S: the mean of the service's response time indicators, each standardised; of
            all its indicators where none is a response time.
        resources: by service: T x R, its other indicators, standardised.
    """

    services: tuple[str, ...]
    response: NDArray[np.float64]
    resources: dict[str, NDArray[np.float64]]


def service_series(observation: Observation) -> ServiceSeries:
    """The series of all services.

    Raises:
        MethodFailed: there are too few rows, or no indicator varies.
    """
    return shared(observation, "service series", lambda: _series(observation), timeless=True)


def call_graph(observation: Observation, services: tuple[str, ...]) -> NDArray[np.bool_]:
    """Who calls whom: ``[i, j]`` says that service i calls service j, and not itself.

    From the topology; where it has no call, from the spans. Calls of services that are not asked
    for are left out.

    Raises:
        MethodFailed: no two of the services call each other.
    """
    place = {name: index for index, name in enumerate(services)}
    edges = observation.topology[observation.topology["kind"] == "call"]
    pairs = set(zip(edges["source"], edges["target"], strict=True)) or _calls_in_spans(observation)
    calls = np.zeros((len(services), len(services)), dtype=bool)
    for caller, callee in pairs:
        if caller in place and callee in place and caller != callee:
            calls[place[caller], place[callee]] = True
    if not calls.any():
        raise MethodFailed("the observation has no call graph over candidate services")
    return calls


def likeness(response: NDArray[np.float64], symptom: NDArray[np.float64]) -> NDArray[np.float64]:
    """|Pearson correlation| of each column with a series; 0 for a column that does not vary."""
    columns = response - response.mean(axis=0)
    centered = symptom - symptom.mean()
    size = np.sqrt((columns**2).sum(axis=0) * (centered**2).sum())
    found: NDArray[np.float64] = np.abs(centered @ columns) / np.where(size > 0, size, 1.0)
    return np.minimum(found, 1.0)


def _series(observation: Observation) -> ServiceSeries:
    series = series_of(observation)
    places: dict[str, list[int]] = {}
    for name in sorted((*series.names, *series.same_as)):
        places.setdefault(service_of(name), []).append(series.position(name))
    names = dict(enumerate(series.names))
    response, resources = [], {}
    for service, own in sorted(places.items()):
        times = [place for place in own if RESPONSE_TIME.search(names[place].partition("_")[2])]
        response.append(series.values[:, times or own].mean(axis=1))
        resources[service] = series.values[:, [place for place in own if place not in times]]
    return ServiceSeries(tuple(sorted(places)), np.column_stack(response), resources)


def _calls_in_spans(observation: Observation) -> set[tuple[str, str]]:
    spans = spans_of(observation)
    away = (spans.parent >= 0) & (spans.parent_service != spans.service)
    pairs = np.unique(np.column_stack([spans.parent_service, spans.service])[away], axis=0)
    return {(spans.services[caller], spans.services[callee]) for caller, callee in pairs}
