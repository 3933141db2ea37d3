"""A method for serving stacks: evidence from every source, put together as an engineer would."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.features.log_changes import log_changes
from rca_benchmark.features.span_excess import failures, span_excess
from rca_benchmark.methods.ranking import (
    Evidence,
    Ranking,
    candidate_indicators,
    rank_by_service,
)
from rca_benchmark.methods.registry import method
from rca_benchmark.methods.serving_rules import evidence_by_kind, metric_evidence
from rca_benchmark.preprocess import split_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from rca_benchmark.case import Observation

# A symptom shows where something is felt, not where it is done.
SYMPTOM: Final = 0.5
# A quarter of all request time is decisive.
WHOLE_SHARE: Final = 0.25
# A slow call speaks against the callee; against the caller half as much, unless it has several.
CALLER: Final = 0.5
# A likelihood ratio statistic of 40 has a p-value below 1e-9.
WHOLE_DEVIANCE: Final = 40.0
# Templates with fewer lines before the fault can vanish by chance.
FEWEST_LINES: Final = 5
# Weaker evidence counts, but is not shown.
WORTH_TELLING: Final = 0.05
_PERCENTILE: Final = re.compile(r"-(50|90|95|99)$")


@method(
    name="llm_serving",
    sources=("metrics", "logs", "traces", "topology"),
    paper="of this project",
    uses_inject_time=True,
    stochastic=False,
)
def llm_serving(observation: Observation, _rng: np.random.Generator) -> Ranking:
    """Services by the evidence against them, from metrics, spans, logs and the call graph.

    Each kind of evidence is a number between 0 and 1, and a service's score is their sum; within a
    kind the strongest counts:

    * resource: CPU use or throttling, memory, the network's round trips and retransmissions, the
      accelerator's clock: what only a fault of the service itself moves;
    * engine: time per step, KV cache: against step time, queues are only a symptom;
    * own time: self time of its spans beyond the normal, as a share of all request time;
    * on the way: time between a caller's span and its callee's, by callee and, half, by caller;
    * failures: failed spans that no failed callee explains;
    * complaints: error lines beyond what its activity explains; silence: templates that vanish
      although its other lines go on;
    * symptoms, by half: response times, queues and errors, less what its callees added (an entry
      symptom is explained away by the replica below it).

    What replicas of one kind have in common speaks against none of them. Every part reads metrics
    by their kind and services by their place in the call graph, never by their names; sources that
    a case lacks give no evidence. The ranking carries its evidence, one line each.

    Parameters:
        alarm: 3 robust standard deviations; full strength at 300 and a change of 10 % of the level.
        whole_share: 0.25 of all request time in excess is full strength.
        whole_deviance: 40 (p < 1e-9) of a template's count is full strength.
        symptom: 0.5; weight of symptoms beside the other kinds.

    Cost:
        O(T N) for the metrics and O(S log S) for S spans; lines are counted once per case.

    Decisions:
        * Kinds are added and not multiplied: a fault rarely shows in all of them, and a source may
          be missing.
        * All kinds weigh alike, but for symptoms. Weights learnt on one stack would be those of
          that stack.
        * Metrics that follow the load are not read: they fall at every service behind a slow one.

    Raises:
        MethodFailed: there is no inject time, or no candidate has an indicator.
    """
    if observation.inject_time_ns is None:
        raise MethodFailed("the observation has no inject time")
    evidence = metric_evidence(observation) if _varies(observation) else []
    by_indicator = {item.indicator: item.weight for item in evidence if item.indicator is not None}
    scores: dict[str, float] = dict.fromkeys(
        (service_of(name) for name in candidate_indicators(observation)), 0.0
    )
    if evidence:
        for (service, kind), weight in evidence_by_kind(observation).items():
            _add(scores, service, weight * (SYMPTOM if kind == "symptom" else 1.0))
    for part in (_own_time(observation), _on_the_way(observation), _failing(observation),
                 _complaints(observation), _silence(observation)):  # fmt: skip
        strongest: dict[str, float] = defaultdict(float)
        for item in part:
            strongest[item.service] = max(strongest[item.service], item.weight)
        for service, weight in strongest.items():
            _add(scores, service, weight)
        evidence += part
    ranking = rank_by_service(scores, by_indicator, observation)
    told = [item for item in evidence if item.weight >= WORTH_TELLING]
    strongest_first = sorted(told, key=lambda item: (-item.weight, item.service, item.text))
    return Ranking(ranking.indicators, _one_percentile(strongest_first))


def _one_percentile(strongest_first: list[Evidence]) -> tuple[Evidence, ...]:
    """Of several percentiles of one quantity only the strongest is worth a line."""
    by_quantity: dict[object, Evidence] = {}
    for item in strongest_first:
        quantity = _PERCENTILE.sub("", item.indicator) if item.indicator else item
        by_quantity.setdefault(quantity, item)
    return tuple(by_quantity.values())


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def _varies(observation: Observation) -> bool:
    """Whether there are metrics to read at all: spans and logs can answer without."""
    return bool(split_table(observation, observation.metrics.iloc[:, 1:]).indicators)


def _add(scores: dict[str, float], service: str, weight: float) -> None:
    if service in scores:  # spans and logs may name what is no candidate
        scores[service] += weight


def _own_time(observation: Observation) -> list[Evidence]:
    table = span_excess(observation)
    return [
        Evidence(
            row.service,
            "",
            min(row.share / WHOLE_SHARE, 1.0),
            f"works longer itself: {row.seconds:.2f} s beyond the normal in {row.spans} spans, "
            f"{row.share:.0%} of all request time",
        )
        for row in _rows(table[table["callee"] == ""])
    ]


def _on_the_way(observation: Observation) -> list[Evidence]:
    table = span_excess(observation)
    away = table[table["callee"] != ""]
    found = []
    for service in sorted({*away["service"], *away["callee"]}):
        reached = away[away["callee"] == service]
        calling = away[away["service"] == service]
        share = reached["share"].sum() + CALLER * calling["share"].sum()
        text = (
            f"calls wait on the way: {reached['seconds'].sum():.2f} s to it from "
            f"{len(reached)} callers, {calling['seconds'].sum():.2f} s from it to "
            f"{len(calling)} callees beyond the normal"
        )
        weight = min(float(share) / WHOLE_SHARE, 1.0)
        found.append(Evidence(service, "network-delay", weight, text))
    return found


def _failing(observation: Observation) -> list[Evidence]:
    return [
        Evidence(
            row.service,
            "",
            float(row.after - row.before),
            f"requests begin to fail here: {row.before:.1%} -> {row.after:.1%} of its spans",
        )
        for row in _rows(failures(observation))
        if row.after > row.before
    ]


def _complaints(observation: Observation) -> list[Evidence]:
    table = log_changes(observation)
    return [
        Evidence(
            row.service,
            "",
            min(row.deviance / WHOLE_DEVIANCE, 1.0),
            f"complains: {row.after} lines instead of {row.expected:.1f}: {row.template}",
        )
        for row in _rows(table[table["severe"] & (table["deviance"] > 0)])
    ]


def _silence(observation: Observation) -> list[Evidence]:
    table = log_changes(observation)
    gone = (table["deviance"] < 0) & (table["before"] >= FEWEST_LINES)
    return [
        Evidence(
            row.service,
            "",
            min(-row.deviance / WHOLE_DEVIANCE, 1.0),
            f"falls silent: {row.after} lines instead of {row.expected:.1f}: {row.template}",
        )
        for row in _rows(table[gone])
    ]
