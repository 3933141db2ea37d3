"""Effect sizes: what each fault moves at its target, at the SLI and at the target's neighbours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from rca_benchmark.case import service_of
from rca_benchmark.movement import movement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rca_benchmark.validity.recordings import Recording

_REPLICA: Final = re.compile(r"-[0-9]+$")
_VISIBLE: Final = 0.05  # smallest relative change that is shown as part of a fault's signature
MOVES_COLUMNS: Final = (
    *("case", "fault", "target", "indicator", "service", "metric"),
    *("before", "during", "change", "z", "moved"),
)
NEIGHBOUR_MEASURES: Final = ("load", "step_time", "throttling_per_token", "throttling_per_cpu")


def moves(recordings: Iterable[Recording]) -> pd.DataFrame:
    """One row of ``MOVES_COLUMNS`` per recording and indicator.

    ``before`` and ``during`` are medians, ``change`` is their relative change (0.5: half as much
    again), null where the median before is 0 or a side has no sample.
    """
    rows = [row for recording in recordings for row in _moves(recording)]
    return pd.DataFrame(rows, columns=list(MOVES_COLUMNS))


def _moves(recording: Recording) -> Iterator[tuple[Any, ...]]:
    metrics = recording.observation.metrics
    before, during = metrics[recording.before()], metrics[recording.during()]
    target = "" if recording.truth is None else recording.truth.service
    for name in recording.observation.indicators:
        found = movement(before[name], during[name])
        first, second = found.median_before, found.median_during
        change = second / first - 1 if first and second is not None else np.nan
        service = service_of(name)
        metric = name.partition("_")[2]
        where = (recording.name, recording.fault, target, name, service, metric)
        yield (*where, first, second, change, found.z, found.moved)


def effect_table(table: pd.DataFrame, sli: str | None) -> pd.DataFrame:
    """One row per fault: cases, how the SLI and the target's own indicators moved.

    ``sli_change`` is the median relative change with its range, ``sli_moved`` and ``own_moved``
    the shares of cases, ``signature`` the target's metrics that moved in most cases.
    """
    rows = []
    for fault, part in table.groupby("fault"):
        seen = part[part["indicator"] == sli]
        own = part[part["service"] == part["target"]]
        rows.append(
            {
                "fault": fault,
                "cases": part["case"].nunique(),
                "sli_change": seen["change"].median(),
                "sli_low": seen["change"].min(),
                "sli_high": seen["change"].max(),
                "sli_moved": seen["moved"].mean(),
                "own_moved": own.groupby("case")["moved"].any().mean() if len(own) else np.nan,
                "signature": _signature(own),
            }
        )
    return pd.DataFrame(rows)


def _signature(own: pd.DataFrame, most: int = 3) -> str:
    """The metrics of the target that moved in the largest share of cases, and by how much."""
    if own.empty:
        return ""
    grouped = own.groupby("metric")
    found = pd.DataFrame(
        {
            "share": grouped["moved"].mean(),
            "z": grouped["z"].apply(lambda z: z.abs().median()),
            "change": grouped["change"].median(),
        }
    )
    # What hardly varies moves by many standard deviations and yet by nothing that one would see.
    seen = found["change"].isna() | (found["change"].abs() >= _VISIBLE)
    found = found[(found["share"] > 0) & seen]
    found = found.sort_values(["share", "z"], ascending=False).head(most)
    return ", ".join(f"{name} {_signed(row.change)}" for name, row in found.iterrows())


def _signed(change: float) -> str:
    return "from or to nothing" if np.isnan(change) else f"{change:+.0%}"


def neighbour_table(recordings: Iterable[Recording]) -> pd.DataFrame:
    """One row per fault: how the target's siblings (other replicas of its kind) fared meanwhile.

    Relative changes of means, their median over the cases and their range (``_low``, ``_high``):
    ``load`` (tokens generated per second), ``step_time`` (time between two tokens) and
    time withheld by the CPU limit, since a sibling that takes over requests is throttled more for
    that alone, per token (``throttling_per_token``; falls as batches grow) and per CPU time used
    (``throttling_per_cpu``). The row of the controls, where every replica with a sibling counts,
    tells what chance does.
    """
    rows = [row for recording in recordings for row in _siblings(recording)]
    table = pd.DataFrame(rows, columns=["fault", "case", *NEIGHBOUR_MEASURES])
    grouped = table.groupby("fault")
    found = pd.DataFrame({"cases": grouped["case"].nunique()})
    for measure in NEIGHBOUR_MEASURES:
        found[measure] = grouped[measure].median()
        found[f"{measure}_low"] = grouped[measure].min()
        found[f"{measure}_high"] = grouped[measure].max()
    return found.reset_index()


def _siblings(recording: Recording) -> Iterator[tuple[Any, ...]]:
    target = None if recording.truth is None else recording.truth.service
    services, metrics = recording.observation.services, recording.observation.metrics
    before, during = metrics[recording.before()].mean(), metrics[recording.during()].mean()
    kinds = {service: _REPLICA.sub("", service) for service in services}
    for service, kind in kinds.items():
        others = [other for other in services if kinds[other] == kind and other != service]
        if not others or (target is not None and target not in others):
            continue
        tokens, step, throttled, used = (
            during.get(f"{service}_{metric}", np.nan) / before.get(f"{service}_{metric}", np.nan)
            for metric in ("generation-tokens", "itl-90", "throttled", "cpu")
        )
        changes = (tokens, step, throttled / tokens, throttled / used)
        yield recording.fault, recording.name, *(change - 1 for change in changes)


def rejected_table(recordings: Sequence[Recording]) -> pd.DataFrame:
    """One row per fault: recordings, how many were rejected, and why."""
    rows = [
        {
            "fault": recording.fault,
            "rejected": bool(recording.reasons),
            "reason": "; ".join(recording.reasons),
        }
        for recording in recordings
    ]
    grouped = pd.DataFrame(rows).groupby("fault")
    found = grouped["rejected"].agg(recorded="size", rejected="sum")
    found["reasons"] = grouped["reason"].agg(lambda some: "; ".join(sorted(set(some) - {""})))
    return found.reset_index()
