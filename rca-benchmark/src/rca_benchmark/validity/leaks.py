"""Whether anything but the fault's effect tells the target: shape, order, or the time before it.

Two kinds of checks. What must not differ between recordings is compared: columns, rows, where the
fault begins, services. And simple rules guess the target of each case from what can be known
before the fault; how often they are right is compared with all ways of dealing the same targets
out to the same cases (a permutation test, Good 2005), corrected after Holm for their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import service_of
from rca_benchmark.evaluation.statistics import holm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rca_benchmark.validity.recordings import Recording

PERMUTATIONS: Final = 10_000
# A rule whose corrected p-value is below this tells the target.
ALPHA: Final = 0.01

Scores = dict[str, float]

# What must be the same in all recordings.
PROPERTIES: Final[dict[str, Callable[[Recording], object]]] = {
    "columns and their order": lambda r: tuple(r.observation.metrics.columns),
    "rows": lambda r: len(r.observation.metrics),
    "row at which the fault begins": lambda r: int(r.before().sum()),
    "services and their order": lambda r: r.observation.services,
    "SLI": lambda r: r.observation.sli,
    "step": lambda r: r.observation.step_ns,
}


def shape_table(recordings: Sequence[Recording]) -> pd.DataFrame:
    """One row per property of ``PROPERTIES``: how many values it has."""
    rows = [(name, len({of(r) for r in recordings})) for name, of in PROPERTIES.items()]
    return pd.DataFrame(rows, columns=["property", "values"])


def rule_table(recordings: Sequence[Recording], seed: int = 0) -> pd.DataFrame:
    """One row per rule: how often it named the target, how often by chance, and its p-value.

    Args:
        recordings: controls are left out.
        seed: of the permutations.

    Returns:
        ``rule``, ``right`` and ``chance`` (shares of cases), ``p`` (Holm-corrected), ``tells``.
    """
    cases = sorted((r for r in recordings if r.truth), key=lambda r: r.active_ns)
    truths = np.array([r.truth.service for r in cases if r.truth])
    guesses = pd.DataFrame([dict(_guesses(case)) for case in cases])
    guesses["target of the recording before"] = ["", *truths[:-1]]
    generator = np.random.default_rng(seed)
    shuffled = np.stack([generator.permutation(truths) for _ in range(PERMUTATIONS)])
    rows = []
    for rule in guesses.columns:
        named = guesses[rule].fillna("").to_numpy()
        right, by_chance = (named == truths).mean(), (shuffled == named).mean(axis=1)
        p_value = (1 + (by_chance >= right).sum()) / (1 + PERMUTATIONS)
        rows.append((rule, right, by_chance.mean(), p_value))
    table = pd.DataFrame(rows, columns=["rule", "right", "chance", "p"])
    table["p"] = holm(table["p"].tolist())
    table["tells"] = table["p"] < ALPHA
    return table.sort_values(["p", "right"], ascending=[True, False], ignore_index=True)


def _guesses(recording: Recording) -> Iterator[tuple[str, str]]:
    """The guess of every rule for one case; empty where a rule does not decide."""
    observation, metrics = recording.observation, recording.observation.metrics
    before = metrics[recording.before()]
    start = recording.active_ns
    counts = {
        "absent indicators": _by_service(metrics.isna().all(), "sum"),
        "gaps before the fault": _by_service(before.isna().mean(), "mean"),
        "log records before the fault": _count(observation.logs, "time", start, "service"),
        "spans before the fault": _count(
            observation.traces, "startTime", start // 1000, "serviceName"
        ),
    }
    levels = before.drop(columns="time").mean()
    families = levels.groupby(levels.index.str.partition("_").get_level_values(2))
    for metric, part in families:
        if len(part) > 1:
            named = {service_of(str(name)): float(value) for name, value in part.items()}
            counts[f"{metric} before the fault"] = named
    for what, scores in counts.items():
        own = {name: scores[name] for name in observation.services if name in scores}
        yield f"most {what}", _first(own, max)
        yield f"fewest {what}", _first(own, min)


def _by_service(values: pd.Series[Any], how: str) -> Scores:
    values = values.drop("time")
    found = values.groupby(values.index.map(service_of)).agg(how)
    return {str(name): float(value) for name, value in found.items()}


def _count(events: pd.DataFrame, time: str, start: int, service: str) -> Scores:
    found = events.loc[events[time] < start, service].value_counts()
    return {str(name): float(value) for name, value in found.items()}


def _first(scores: Scores, best: Callable[..., float]) -> str:
    """The service with the extreme score, if there is exactly one."""
    known = {name: score for name, score in scores.items() if not np.isnan(score)}
    if not known:
        return ""
    extreme = best(known.values())
    names = [name for name, score in known.items() if score == extreme]
    return names[0] if len(names) == 1 else ""
