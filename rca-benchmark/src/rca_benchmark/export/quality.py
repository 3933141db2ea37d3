"""The quality record: was the telemetry complete, and did the fault show?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rca_benchmark.case import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from rca_benchmark.case import GroundTruth, Observation
    from rca_benchmark.export.base import Samples

# An indicator has moved when its median during the fault is this many robust standard deviations
# from its median before.
MOVED_Z: Final = 3.0
_MAD_TO_SIGMA: Final = 1.4826


def quality_record(
    observation: Observation,
    truth: GroundTruth | None,
    samples: Mapping[str, Samples],
    counts: Mapping[str, int],
    scrapes: Mapping[str, float],
) -> dict[str, Any]:
    """The record as it is kept in case.json.

    Args:
        observation: the telemetry.
        truth: says which service and which time span to look at; None without a fault.
        samples: metric samples expected and received, by source.
        counts: further figures, by name.
        scrapes: share of successful scrapes during the fault, by target.
    """
    expected = sum(part.expected for part in samples.values())
    received = sum(part.received for part in samples.values())
    gaps = observation.metrics.drop(columns="time").isna().mean()
    return {
        "samples": {
            name: {"expected": part.expected, "received": part.received}
            for name, part in samples.items()
        },
        "samples_share": received / expected if expected else None,
        "gaps": {str(name): round(float(share), 6) for name, share in gaps.items()},
        "counts": dict(counts),
        "scrapes_during_fault": dict(scrapes),
        "effect": effect(observation, truth) if truth is not None else None,
    }


def effect(observation: Observation, truth: GroundTruth) -> dict[str, Any]:
    """Whether the SLI and the target's own indicators moved during the fault."""
    times = observation.metrics["time"]
    active = truth.injection.active_ns
    removed = truth.injection.removed_ns
    before = times < active
    during = (times >= active) & (times <= (times.iloc[-1] if removed is None else removed))
    own = [name for name in observation.indicators if service_of(name) == truth.service]
    moves = {
        name: movement(observation.metrics.loc[before, name], observation.metrics.loc[during, name])
        for name in {*own, *filter(None, [observation.sli])}
    }
    return {
        "sli": moves[observation.sli] if observation.sli is not None else None,
        "service": {name: moves[name] for name in own},
        "sli_moved": observation.sli is not None and moves[observation.sli]["moved"],
        "service_moved": any(moves[name]["moved"] for name in own),
    }


def movement(before: pd.Series[float], during: pd.Series[float]) -> dict[str, Any]:
    """Means before and during, and the robust z of the change.

    z = (median during - median before) / (1.4826 * MAD before). An indicator that did not vary
    before has no scale: its z is null, and it has moved when the medians differ.
    """
    calm = before[np.isfinite(before)]
    fault = during[np.isfinite(during)]
    if calm.empty or fault.empty:
        return {"before": _mean(calm), "during": _mean(fault), "z": None, "moved": False}
    change = float(fault.median() - calm.median())
    scale = _MAD_TO_SIGMA * float((calm - calm.median()).abs().median())
    z = change / scale if scale > 0 else None
    moved = abs(z) >= MOVED_Z if z is not None else change != 0
    return {"before": _mean(calm), "during": _mean(fault), "z": z, "moved": moved}


def _mean(values: pd.Series[float]) -> float | None:
    return None if values.empty else float(values.mean())
