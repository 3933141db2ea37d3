"""Telemetry back ends to one observation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, Observation, service_of
from rca_benchmark.errors import CaseError, ExportError
from rca_benchmark.export.base import Telemetry
from rca_benchmark.export.nginx import SLI
from rca_benchmark.export.quality import Bars, Bookkeeping, quality_record
from rca_benchmark.export.rows import in_order, stack
from rca_benchmark.export.secrets import mask_secrets
from rca_benchmark.export.topology import build_topology, parent_rows, start_skew

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rca_benchmark.case import GroundTruth
    from rca_benchmark.export.answers import Answers, EventKind
    from rca_benchmark.export.base import BackEnd, Tick, Window
    from rca_benchmark.export.placement import Placement


@dataclass(frozen=True, eq=False)
class Recording:
    """What an export yields: the observation, what was absent from it, and how good it is.

    Attributes:
        observation: the telemetry.
        absent: indicators that no back end delivered.
        quality: see ``quality.quality_record``.
        extras: what only other layouts have a place for, by name.
    """

    observation: Observation
    absent: tuple[str, ...]
    quality: dict[str, Any]
    extras: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Collected:
    """An answer of a back end; its logs and spans stay on disk, as they are large.

    Attributes:
        telemetry: the answer without them.
        events: reads ``logs`` or ``traces``.
    """

    telemetry: Telemetry
    events: Callable[[EventKind], pd.DataFrame]


def ask(
    back_ends: Sequence[BackEnd], window: Window, tick: Tick, answers: Answers
) -> dict[str, Collected]:
    """Ask every back end for the window; what one of them answered is not asked for again.

    Args:
        back_ends: where the telemetry is.
        window: the time span.
        tick: called after each step of a back end.
        answers: where answers are kept until the case is written.

    Returns:
        The answers by the back ends' names.

    Raises:
        ExportError: back ends failed. The answers of the others are kept.
    """
    collected: dict[str, Collected] = {}
    failures = []
    for back_end in back_ends:
        name, plan = back_end.name, back_end.plan(window)
        kept = answers.load(name, window, plan)
        if kept is not None:
            for _ in range(back_end.steps):
                tick(f"{name}: kept from before")
        else:
            try:
                answer = back_end.fetch(window, tick)
            except ExportError as error:
                failures.append(str(error))
                continue
            answers.save(name, window, plan, answer)
            kept = replace(answer, logs=Telemetry().logs, traces=Telemetry().traces)
            del answer
            pa.default_memory_pool().release_unused()
        collected[name] = Collected(kept, partial(answers.events, name, window, plan))
    if failures:
        kept_names = ", ".join(collected) or "none"
        raise ExportError(
            f"{len(failures)} of {len(back_ends)} back ends failed: {'; '.join(failures)}. Answers "
            f"kept in {answers.folder}: {kept_names}; run the same command again for the rest"
        )
    return collected


def assemble(
    collected: dict[str, Collected],
    window: Window,
    *,
    placement: Placement,
    truth: GroundTruth | None,
    bars: Bars,
) -> Recording:
    """Join the answers of all back ends by time.

    Args:
        collected: from ``ask``.
        window: the time span.
        placement: where each service runs; names the candidates. Where it is empty, the services
            seen in metrics are the candidates.
        truth: the injection, if there was one.
        bars: what the case must reach to be accepted.

    Raises:
        ExportError: two back ends deliver the same indicator, or the telemetry makes no case.
    """
    parts = [part.telemetry for part in collected.values()]
    metrics = _join_metrics([part.metrics for part in parts], window)
    traces, counts = _joined_spans(collected)
    calls = frozenset(pair for part in parts for pair in part.calls)
    parents = parent_rows(traces)
    topology = build_topology(traces, parents, placement, calls)
    skew = start_skew(traces, parents)
    logs = in_order(
        stack([part.events("logs") for part in collected.values()], LOG_COLUMNS), "time"
    )
    logs["message"], masked = mask_secrets(logs["message"])
    services = placement.services or sorted({service_of(name) for name in metrics.columns[1:]})
    try:
        observation = Observation(
            metrics=metrics,
            logs=logs,
            traces=traces,
            topology=topology,
            inject_time_ns=truth.injection.active_ns if truth is not None else None,
            sli=SLI if SLI in metrics.columns else None,
            services=tuple(services),
            step_ns=window.step_ns,
        )
    except CaseError as error:
        raise ExportError(f"the telemetry does not make a case: {error}") from error
    kept = _bookkeeping(parts, {"log_messages_with_secrets_masked": masked} | counts, skew)
    return Recording(
        observation=observation,
        absent=tuple(name for name in observation.indicators if not kept.received.get(name)),
        quality=quality_record(observation, truth, kept, bars),
        extras={name: value for part in parts for name, value in part.extras.items()},
    )


def _bookkeeping(
    parts: Sequence[Telemetry], counts: dict[str, int], skew: dict[str, float]
) -> Bookkeeping:
    for part in parts:
        counts |= part.counts
        skew |= part.clock_skew_s
    return Bookkeeping(
        received={name: count for part in parts for name, count in part.received.items()},
        counts=counts,
        clock_skew_s=skew,
        scrapes={name: share for part in parts for name, share in part.scrapes.items()},
        problems=[problem for part in parts for problem in part.problems],
    )


def _joined_spans(collected: dict[str, Collected]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The spans of all back ends, by time; those that DeepFlow was sent a copy of count once."""
    tables = {name: part.events("traces") for name, part in collected.items()}
    counts = {}
    if {"otlp", "deepflow"} <= set(tables):
        identity = ["traceID", "spanID", "serviceName"]
        written, sent = (
            pd.MultiIndex.from_frame(tables[k][identity]) for k in ("otlp", "deepflow")
        )
        again = sent.isin(written)
        tables["deepflow"] = tables["deepflow"][~again]
        counts["deepflow_spans_that_are_in_files"] = int(again.sum())
    joined = stack([*tables.values()], TRACE_COLUMNS)
    tables.clear()  # so that no second copy is held while they are sorted
    return in_order(joined, "startTime"), counts


def _join_metrics(tables: Sequence[pd.DataFrame], window: Window) -> pd.DataFrame:
    index = pd.Index(window.grid(), name="time")
    joined = pd.concat([pd.DataFrame(index=index), *tables], axis=1)
    if (twice := joined.columns[joined.columns.duplicated()]).size:
        raise ExportError(f"two back ends deliver {twice[0]}; remove it from one of them")
    return joined.astype("float64").rename_axis(index="time").reset_index()
