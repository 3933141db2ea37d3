"""All recordings of a native data set, rejected cases and controls included."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from rca_benchmark.dataset import native
from rca_benchmark.dataset.injection import read_injection
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from rca_benchmark.case import GroundTruth, Observation

CONTROL: Final = "control"


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording and what is known about it.

    Attributes:
        name: of the case folder.
        observation: the telemetry.
        truth: the ground truth; None in a control.
        reasons: why it was rejected; empty where it was accepted.
        active_ns: when the fault began; in a control, where it would have begun.
        removed_ns: when the fault was taken back; in a control, where it would have been.
    """

    name: str
    observation: Observation
    truth: GroundTruth | None
    reasons: tuple[str, ...]
    active_ns: int
    removed_ns: int

    @property
    def fault(self) -> str:
        """Name of the fault; of a control, ``CONTROL``."""
        return CONTROL if self.truth is None else self.truth.fault

    def before(self) -> pd.Series[bool]:
        """Rows of the metrics before the fault."""
        return self.observation.metrics["time"] < self.active_ns

    def during(self) -> pd.Series[bool]:
        """Rows of the metrics during the fault."""
        times = self.observation.metrics["time"]
        return (times >= self.active_ns) & (times <= self.removed_ns)


def read_recordings(root: Path) -> list[Recording]:
    """Every recording, by name.

    Raises:
        CaseError: there is none with a fault, or one cannot be read.
    """
    there = native.find_all(root)
    faulty = [_read_case(path) for path in there if not native.is_control(path)]
    if not faulty:
        raise CaseError(f"{root}: no native case with a fault; expected {native.EXPECTED}")
    offset = int(median(case.active_ns - _start(case.observation) for case in faulty))
    length = int(median(case.removed_ns - case.active_ns for case in faulty))
    controls = [_read_control(p, offset, length) for p in there if native.is_control(p)]
    return sorted([*faulty, *controls], key=lambda recording: recording.name)


def _start(observation: Observation) -> int:
    return int(observation.metrics["time"].iloc[0])


def _reasons(path: Path) -> tuple[str, ...]:
    return tuple(native.read_manifest(path).get("quality", {}).get("reasons", ()))


def _read_case(path: Path) -> Recording:
    observation = native.read_observation(path)
    truth = read_injection(path / "injection.json")
    removed = truth.injection.removed_ns
    end = int(observation.metrics["time"].iloc[-1])
    return Recording(
        name=path.name,
        observation=observation,
        truth=truth,
        reasons=_reasons(path),
        active_ns=truth.injection.active_ns,
        removed_ns=end if removed is None else removed,
    )


def _read_control(path: Path, offset_ns: int, length_ns: int) -> Recording:
    observation = native.read_observation(path)
    active = _start(observation) + offset_ns
    return Recording(path.name, observation, None, _reasons(path), active, active + length_ns)
