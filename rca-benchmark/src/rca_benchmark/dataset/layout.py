"""What every reader of a case layout offers, and what readers share."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from rca_benchmark.case import Case, GroundTruth, Injection, Observation
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SECOND_NS: Final = 1_000_000_000
# Entry indicators of the public systems, best first. The SLI of a case in a layout that names none
# is the first that its metrics hold: fixed per system, and independent of the ground truth.
ENTRY_SLIS: Final = (
    "nginx-proxy_latency-90",  # LLM serving stack
    "frontend-external_latency-90",  # Online Boutique, Train Ticket: as users see it
    "frontend_latency-90",  # Online Boutique
    "ts-ui-dashboard_latency-90",  # Train Ticket
    "front-end_latency-90",  # Sock Shop
    "front-end_cpu",  # Sock Shop without front-end latency
    "PetSite_latency-90",  # PetShop
)


@dataclass(frozen=True)
class CaseRef:
    """Where a case lies; cheap to make and to send to another process.

    Attributes:
        dataset: name of the data set.
        name: name of the case, unique in its data set.
        path: folder of the case.
        layout: name of the layout that reads it.
    """

    dataset: str
    name: str
    path: Path
    layout: str


class Layout(Protocol):
    """A module that reads one layout of cases."""

    NAME: str
    EXPECTED: str

    def find(self, root: Path) -> list[Path]:
        """The case folders of a data set, sorted; none where it is not in this layout."""

    def is_case(self, directory: Path) -> bool:
        """Whether a folder looks like one case of this layout."""

    def case_name(self, directory: Path) -> str:
        """Name of a case, unique in its data set."""

    def read_case(self, directory: Path, dataset: str) -> Case:
        """Read a case; CaseError where that cannot be done."""

    def read_observation(self, directory: Path) -> Observation:
        """Read what methods may see of a case; CaseError where that cannot be done."""


@dataclass(frozen=True)
class Telemetry:
    """What a foreign layout holds of one case, before the ground truth.

    Attributes:
        observation: what methods see.
        notes: what reading changed or left out.
        files: the files that were read, for the digest.
    """

    observation: Observation
    notes: tuple[str, ...]
    files: tuple[Path, ...]


def build_case(
    directory: Path, dataset: str, name: str, telemetry: Telemetry, service: str, fault: str
) -> Case:
    """A case of a foreign layout, which knows the inject time but no other time of the injection.

    Raises:
        CaseError: there is no inject time, or the target is not a candidate.
    """
    inject_time_ns = telemetry.observation.inject_time_ns
    if inject_time_ns is None:
        raise CaseError(f"{directory}: no inject time")
    truth = GroundTruth(service, fault, Injection(active_ns=inject_time_ns))
    digest = hashlib.sha256(json.dumps([service, fault, inject_time_ns]).encode())
    for path in telemetry.files:
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    try:
        return Case(
            dataset, name, digest.hexdigest(), telemetry.observation, truth, telemetry.notes
        )
    except CaseError as error:
        raise CaseError(f"{directory}: {error}") from error


def entry_sli(indicators: Iterable[object]) -> str | None:
    """The first of ``ENTRY_SLIS`` among the indicators; None where there is none."""
    present = set(indicators)
    return next((name for name in ENTRY_SLIS if name in present), None)


def folders(root: Path) -> list[Path]:
    """Folders in a folder, by name; hidden ones are left out."""
    return sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def service_name(node: str) -> str:
    """A node's name as a service name: what is no letter, digit or dot becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", node).strip("-")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        CaseError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error


def read_inject_second(path: Path) -> int:
    """The inject time, in ns, from a file that holds one whole epoch second.

    Raises:
        CaseError: it holds anything else.
    """
    try:
        return int(path.read_text(encoding="utf-8").split()[0]) * SECOND_NS
    except (OSError, ValueError, IndexError) as error:
        raise CaseError(f"{path}: must hold one whole epoch second: {error}") from error
