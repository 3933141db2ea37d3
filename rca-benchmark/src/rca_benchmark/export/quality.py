"""The quality record: was the telemetry complete, did the fault show, is the case good enough?"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.case import service_of
from rca_benchmark.errors import ExportError
from rca_benchmark.movement import movement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from rca_benchmark.case import GroundTruth, Observation

ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
EFFECTS: Final = {
    "any": "neither the SLI nor an indicator of the target moved",
    "service": "no indicator of the target moved",
    "sli": "the SLI did not move",
    "both": "the SLI and the target's indicators did not both move",
    "none": "",
}


@dataclass(frozen=True)
class Bars:
    """What a case must reach to be accepted.

    Attributes:
        samples: least share of the expected samples, of all indicators that exist, without those
            of the target, which may go missing because of the fault.
        effect: what must move during the fault, one of ``EFFECTS``.
        clock_skew_s: most by which a clock may be off, in seconds.

    Raises:
        ExportError: a value is out of range.
    """

    samples: float = 0.95
    effect: str = "any"
    clock_skew_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.samples <= 1:
            raise ExportError(f"quality: samples is {self.samples}, must lie between 0 and 1")
        if self.effect not in EFFECTS:
            raise ExportError(f"quality: effect is {self.effect!r}, must be one of {[*EFFECTS]}")
        if self.clock_skew_s < 0:
            raise ExportError(f"quality: clock_skew_s is {self.clock_skew_s}, must not be negative")


@dataclass(frozen=True)
class Bookkeeping:
    """What the back ends know beside the telemetry itself.

    Attributes:
        received: samples by indicator; a value that is no number was received.
        counts: further figures, by name.
        clock_skew_s: by how much clocks are ahead of this machine's, by clock.
        scrapes: share of successful scrapes during the fault, by target.
        problems: what makes the case doubtful, one line each.
    """

    received: Mapping[str, int]
    counts: Mapping[str, int] = field(default_factory=dict)
    clock_skew_s: Mapping[str, float] = field(default_factory=dict)
    scrapes: Mapping[str, float] = field(default_factory=dict)
    problems: Sequence[str] = ()


def quality_record(
    observation: Observation, truth: GroundTruth | None, kept: Bookkeeping, bars: Bars
) -> dict[str, Any]:
    """The record as it is kept in case.json.

    Args:
        observation: the telemetry.
        truth: says which service and which time span to look at; None without a fault.
        kept: what the back ends know.
        bars: what the case must reach.
    """
    rows = len(observation.metrics)
    samples = {
        name: {"expected": rows, "received": kept.received.get(name, 0)}
        for name in observation.indicators
    }
    gaps = observation.metrics.drop(columns="time").isna().mean()
    record: dict[str, Any] = {
        "samples": samples,
        "samples_share": _share(samples, truth.service if truth is not None else None),
        "gaps": {str(name): round(float(share), 6) for name, share in gaps.items()},
        "counts": dict(kept.counts),
        "clock_skew_s": dict(kept.clock_skew_s),
        "scrapes_during_fault": dict(kept.scrapes),
        "effect": effect(observation, truth) if truth is not None else None,
        "bars": {"samples": bars.samples, "effect": bars.effect, "clock_skew_s": bars.clock_skew_s},
    }
    reasons = [*_reasons(observation, truth, record, bars), *kept.problems]
    return {"status": REJECTED if reasons else ACCEPTED, "reasons": reasons} | record


def read_load(path: Path) -> dict[str, Any]:
    """Whether the load kept its schedule, as ``llm-benchmark`` says in load-summary.json.

    No bar of a case: what the stack did under a load that came late is telemetry all the same.

    Returns:
        ``valid`` and ``reason``, which is empty where it is valid.

    Raises:
        ExportError: the file cannot be read or is no such summary.
    """
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        return {"valid": bool(summary["valid"]), "reason": str(summary["reason"])}
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ExportError(f"{path}: is no summary of a load: {error!r}") from error


def _share(samples: Mapping[str, Mapping[str, int]], target: str | None) -> float | None:
    """Share of the expected samples that came; an indicator that does not exist is not expected."""
    there = {name: part for name, part in samples.items() if part["received"]}
    others = [part for name, part in there.items() if service_of(name) != target]
    counted = others or list(there.values())
    expected = sum(part["expected"] for part in counted)
    return sum(part["received"] for part in counted) / expected if expected else None


def _reasons(
    observation: Observation, truth: GroundTruth | None, record: Mapping[str, Any], bars: Bars
) -> Iterator[str]:
    """Why the case is below the bars, one line each."""
    share = record["samples_share"]
    if share is None:
        yield "no sample was received"
    elif share < bars.samples:
        yield f"{share:.1%} of the samples were received, at least {bars.samples:.0%} are asked for"
    due = {service_of(name) for name in record["samples"]}
    seen = {service_of(name) for name, part in record["samples"].items() if part["received"]}
    for service in observation.services:
        if service in due - seen:
            yield f"no indicator of {service} was received"
    for clock, skew in record["clock_skew_s"].items():
        if abs(skew) > bars.clock_skew_s:
            yield f"the clock of {clock} is off by {skew:g} s, more than {bars.clock_skew_s:g} s"
    if truth is not None:
        injection = truth.injection
        if injection.removed_ns is None or injection.recovered_ns is None:
            yield "the end of the fault was never confirmed"
        if not _shows(record["effect"], bars.effect):
            yield f"no evidence of effect: {EFFECTS[bars.effect]}"


def _shows(effect: Mapping[str, Any], asked: str) -> bool:
    sli, service = effect["sli_moved"], effect["service_moved"]
    return bool(
        {
            "any": sli or service,
            "service": service,
            "sli": sli,
            "both": sli and service,
            "none": True,
        }[asked]
    )


def effect(observation: Observation, truth: GroundTruth) -> dict[str, Any]:
    """Whether the SLI and the target's own indicators moved during the fault."""
    times = observation.metrics["time"]
    active = truth.injection.active_ns
    removed = truth.injection.removed_ns
    before = times < active
    during = (times >= active) & (times <= (times.iloc[-1] if removed is None else removed))
    own = [name for name in observation.indicators if service_of(name) == truth.service]
    moves = {
        name: _movement(
            observation.metrics.loc[before, name], observation.metrics.loc[during, name]
        )
        for name in {*own, *filter(None, [observation.sli])}
    }
    return {
        "sli": moves[observation.sli] if observation.sli is not None else None,
        "service": {name: moves[name] for name in own},
        "sli_moved": observation.sli is not None and moves[observation.sli]["moved"],
        "service_moved": any(moves[name]["moved"] for name in own),
    }


def _movement(before: pd.Series[float], during: pd.Series[float]) -> dict[str, Any]:
    found = movement(before, during)
    return {key: getattr(found, key) for key in ("before", "during", "z", "moved")}
