"""What an engineer reads from the indicators of a serving stack: rules, as data.

A rule goes by the metric's name alone, never by the service's. Every strength is between 0 and 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.shifts import shifts
from rca_benchmark.methods.ranking import Evidence
from rca_benchmark.methods.service_graph import call_graph
from rca_benchmark.preprocess import shared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rca_benchmark.case import Observation

Kind = Literal["resource", "engine", "symptom"]


@dataclass(frozen=True)
class Rule:
    """How to read a change of one kind of metric.

    Attributes:
        metric: pattern of its name.
        direction: +1 if a rise is bad, -1 if a fall is.
        kind: ``resource``: only a fault of the service itself moves it; ``engine``: the work inside
            an engine, which a fault of the service slows, and a fault elsewhere does not;
            ``symptom``: moves wherever requests pass.
        fault: the fault that it suggests; empty for none.
        says: what it means, for a line of evidence.
        both_ends: it is measured at both ends of a connection: it speaks in full only against the
            end where it changed more, since only there all connections pass the fault.
    """

    metric: re.Pattern[str]
    direction: int
    kind: Kind
    fault: str
    says: str
    both_ends: bool = False


def _rule(
    metric: str, direction: int, kind: Kind, fault: str, says: str, *, both_ends: bool = False
) -> Rule:
    return Rule(re.compile(metric), direction, kind, fault, says, both_ends)


# The first rule that matches counts. Metrics that only follow the load (requests, bytes and tokens
# per second) are not read: they fall at every service behind a slow one.
RULES: Final = (
    _rule(r"throttled", +1, "resource", "cpu", "held back by its CPU quota"),
    _rule(r"^cpu", +1, "resource", "cpu", "CPU use rose"),
    _rule(r"^gpu-(clock|power)", -1, "resource", "accelerator", "the accelerator slowed down"),
    _rule(r"^(mem|memory)\b|working-set", +1, "resource", "memory", "memory use rose"),
    _rule(
        r"round-trip|rtt",
        +1,
        "resource",
        "network-delay",
        "its packets travel longer",
        both_ends=True,
    ),
    _rule(r"retrans", +1, "resource", "network-loss", "its packets are sent again", both_ends=True),
    _rule(r"restart|oom", +1, "resource", "kill", "it was restarted"),
    _rule(r"^disk", +1, "resource", "disk", "disk traffic rose"),
    _rule(r"^socket", +1, "resource", "socket", "it holds more sockets"),
    _rule(r"^itl|step-time|^tpot", +1, "engine", "", "each step of its engine takes longer"),
    _rule(r"preempt|kvcache", +1, "engine", "memory", "its KV cache fills up"),
    _rule(r"queue-time|^waiting|^running", +1, "symptom", "", "requests pile up in it"),
    _rule(r"latency|ttft|processing|response|duration", +1, "symptom", "", "it answers later"),
    _rule(r"error|fail", +1, "symptom", "", "more of its requests fail"),
)
# A robust score of 3 is the usual alarm; 300 is as sure as it gets.
ALARM: Final = 3.0
DECADES: Final = 2.0
# A change of a tenth of the level matters in full; a smaller one less, however regular it is.
MATERIAL: Final = 0.1


def metric_evidence(observation: Observation) -> list[Evidence]:
    """What the metrics say, with weights before the kinds are put together.

    A symptom counts for as much of it as the service's callees do not explain, and what replicas
    of a kind have in common does not speak against any one of them.

    Raises:
        MethodFailed: there is no inject time, or no indicator varies.
    """
    return [evidence for _, evidence in _read(observation)]


def evidence_by_kind(observation: Observation) -> dict[tuple[str, Kind], float]:
    """The strongest evidence of each service and kind.

    Raises:
        MethodFailed: there is no inject time, or no indicator varies.
    """
    found: dict[tuple[str, Kind], float] = {}
    for kind, evidence in _read(observation):
        key = (evidence.service, kind)
        found[key] = max(found.get(key, 0.0), evidence.weight)
    return found


def _read(observation: Observation) -> list[tuple[Kind, Evidence]]:
    return shared(observation, "serving rules", lambda: _apply_rules(observation))


def _apply_rules(observation: Observation) -> list[tuple[Kind, Evidence]]:
    table = shifts(observation)
    rules = {metric: rule for metric in set(table["metric"]) if (rule := _matching(metric))}
    table = table[table["metric"].isin(set(rules))].copy()
    rows: list[Any] = list(table.itertuples())
    table["strength"] = [
        strength(rules[row.metric].direction * row.score, abs(row.change)) for row in rows
    ]
    unexplained = _unexplained(observation, table)
    neighbours = _neighbours(observation, table)
    alone = _beyond_peers(observation, table)
    found: list[tuple[Kind, Evidence]] = []
    for row, own in zip(rows, table["strength"], strict=True):
        name, rule, weight = row.Index, rules[row.metric], float(own)
        if rule.kind != "resource":
            weight *= alone[name]
        if rule.kind == "symptom":
            weight *= unexplained.get(row.service, 1.0)
        if rule.both_ends:
            weight *= _share_at_this_end(row, rows, neighbours)
        if weight > 0:
            text = f"{rule.says}: {row.metric} {row.before:.4g} -> {row.after:.4g}"
            found.append((rule.kind, Evidence(row.service, rule.fault, weight, text, name)))
    return found


def strength(score: float, change: float) -> float:
    """Between 0 and 1: how sure a change is, less where it is small beside the level.

    Args:
        score: the change in robust standard deviations, positive for the bad direction.
        change: its size relative to the level, 0 to 1.
    """
    if score <= ALARM:
        return 0.0
    sure = min(np.log10(score / ALARM) / DECADES, 1.0)
    return float(sure * min(change / MATERIAL, 1.0))


def _matching(metric: str) -> Rule | None:
    return next((rule for rule in RULES if rule.metric.search(metric)), None)


def _beyond_peers(observation: Observation, table: pd.DataFrame) -> dict[str, float]:
    """Share of each indicator's strength that its peers do not have.

    Peers are replicas of one kind: services that the same services call and that have the same
    metrics. Where the call graph is unknown there are none.
    """
    services = tuple(sorted(set(table["service"])))
    callers = {
        service: tuple(np.flatnonzero(column))
        for service, column in zip(services, _calls(observation, services).T, strict=True)
    }
    metrics = {name: sorted(group) for name, group in table["metric"].groupby(table["service"])}
    kind = [
        f"{callers[service]} {metrics[service]}" if callers[service] else service
        for service in table["service"]
    ]
    found: dict[str, float] = {}
    for _, group in table.groupby([pd.Series(kind, index=table.index), "metric"]):
        for name, own in group["strength"].items():
            others = group["strength"].drop(name)
            common = float(others.median()) if len(others) else 0.0
            found[str(name)] = max(own - common, 0.0) / own if own > 0 else 0.0
    return found


def _neighbours(observation: Observation, table: pd.DataFrame) -> dict[str, set[str]]:
    """The services that each one calls or is called by."""
    services = tuple(sorted(set(table["service"])))
    calls = _calls(observation, services)
    return {
        service: {services[other] for other in np.flatnonzero(row)}
        for service, row in zip(services, calls | calls.T, strict=True)
    }


def _share_at_this_end(row: Any, rows: list[Any], neighbours: dict[str, set[str]]) -> float:
    """The change of an indicator beside the largest of the same metric at a neighbour."""
    own = abs(row.after - row.before)
    others = [
        abs(other.after - other.before)
        for other in rows
        if other.metric == row.metric and other.service in neighbours[row.service]
    ]
    largest = max([own, *others])
    return float(own / largest) if largest else 0.0


def _unexplained(observation: Observation, table: pd.DataFrame) -> dict[str, float]:
    """Share of each caller's added response time that no service it calls has added as well."""
    times = table[table["metric"].str.contains(r"latency|processing|response|duration")]
    added = (times["after"] - times["before"]).groupby(times["service"]).max()
    services = tuple(sorted(set(table["service"])))
    calls = _calls(observation, services)
    found: dict[str, float] = {}
    for place, service in enumerate(services):
        own = added.get(service, 0.0)
        called = [added.get(services[callee], 0.0) for callee in np.flatnonzero(calls[place])]
        if own > 0 and called:
            found[service] = 1.0 - min(max(0.0, *called) / own, 1.0)
    return found


def _calls(observation: Observation, services: tuple[str, ...]) -> NDArray[np.bool_]:
    try:
        return call_graph(observation, services)
    except MethodFailed:  # nothing is known to explain anything else
        return np.zeros((len(services), len(services)), dtype=bool)
