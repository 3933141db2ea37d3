"""Telemetry back ends to one observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, Observation, service_of, typed_table
from rca_benchmark.errors import CaseError, ExportError
from rca_benchmark.export.nginx import SLI
from rca_benchmark.export.quality import quality_record
from rca_benchmark.export.topology import build_topology

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rca_benchmark.case import GroundTruth
    from rca_benchmark.export.base import BackEnd, Telemetry, Tick, Window

__all__ = ["Recording", "collect"]


@dataclass(frozen=True, eq=False)
class Recording:
    """What an export yields: the observation, what was absent from it, and how good it is."""

    observation: Observation
    absent: tuple[str, ...]
    quality: dict[str, Any]


def collect(
    back_ends: Sequence[BackEnd],
    window: Window,
    tick: Tick,
    *,
    placement: Mapping[str, Mapping[str, str]],
    truth: GroundTruth | None,
    scrapes: Mapping[str, float],
) -> Recording:
    """Ask every back end for the window and join the answers by time.

    Args:
        back_ends: where the telemetry is.
        window: the time span.
        tick: called after each step of a back end.
        placement: where each service runs; names the candidates. Where it is empty, the services
            seen in metrics are the candidates.
        truth: the injection, if there was one.
        scrapes: share of successful scrapes during the fault, by target.

    Raises:
        ExportError: a back end failed, or two of them deliver the same indicator.
    """
    answers = {back_end.name: back_end.fetch(window, tick) for back_end in back_ends}
    metrics = _join_metrics(list(answers.values()), window)
    traces = _stack([answer.traces for answer in answers.values()], TRACE_COLUMNS, "startTime")
    services = placement or {service_of(name) for name in metrics.columns[1:]}
    try:
        observation = Observation(
            metrics=metrics,
            logs=_stack([answer.logs for answer in answers.values()], LOG_COLUMNS, "time"),
            traces=traces,
            topology=build_topology(traces, placement),
            inject_time_ns=truth.injection.active_ns if truth is not None else None,
            sli=SLI,
            services=tuple(sorted(services)),
            step_ns=window.step_ns,
        )
    except CaseError as error:
        raise ExportError(f"the telemetry does not make a case: {error}") from error
    samples = {
        name: answer.samples for name, answer in answers.items() if answer.samples is not None
    }
    counts = {key: value for answer in answers.values() for key, value in answer.counts.items()}
    return Recording(
        observation=observation,
        absent=tuple(name for name in metrics.columns[1:] if metrics[name].isna().all()),
        quality=quality_record(observation, truth, samples, counts, scrapes),
    )


def _join_metrics(answers: Sequence[Telemetry], window: Window) -> pd.DataFrame:
    index = pd.Index(window.grid(), name="time")
    joined = pd.concat([pd.DataFrame(index=index), *(part.metrics for part in answers)], axis=1)
    if (twice := joined.columns[joined.columns.duplicated()]).size:
        raise ExportError(f"two back ends deliver {twice[0]}; remove it from one of them")
    return joined.astype("float64").rename_axis(index="time").reset_index()


def _stack(tables: Sequence[pd.DataFrame], columns: Mapping[str, str], by: str) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    if not filled:
        return typed_table([], columns)
    return typed_table(pd.concat(filled).sort_values(by, kind="stable"), columns)
