"""Where each service ran: the placement record, taken while the stack was running.

    {"ray-replicas-0": {"address": "10.42.1.7", "node": "gpu-1", "pod": "raycluster-x-worker-a",
                        "gpus": ["GPU-..."], "node_address": "192.168.1.5"}}

Only ``node`` must be there. Names of services and nodes hold no underscore.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Placement:
    """Which service has which address, pod, node and GPUs.

    Attributes:
        places: the record as it was read, by service.
    """

    places: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.places)

    @property
    def services(self) -> tuple[str, ...]:
        """Every service, by name."""
        return tuple(sorted(self.places))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node, by name."""
        return tuple(sorted({place["node"] for place in self.places.values()}))

    def names(self, kind: Literal["service", "node"]) -> tuple[str, ...]:
        """All services or all nodes."""
        return self.services if kind == "service" else self.nodes

    def owner(self, look_up: Literal["", "pod", "gpu", "address"], value: str) -> str | None:
        """The service that a pod, a GPU or an address belongs to; None where it is nobody's.

        With an empty ``look_up`` the value is the name itself.
        """
        if not look_up:
            return value
        return self._owners().get((look_up, value))

    def hosts(self) -> list[tuple[str, str]]:
        """Pairs of service and node."""
        return [(service, place["node"]) for service, place in self.places.items()]

    def _owners(self) -> dict[tuple[str, str], str]:
        return {key: service for service, key in _keys(self.places)}


def _keys(places: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str, str]]]:
    for service, place in places.items():
        for kind in ("address", "pod"):
            if place.get(kind):
                yield service, (kind, place[kind])
        for gpu in place.get("gpus", ()):
            yield service, ("gpu", gpu)


def read_placement(path: Path) -> Placement:
    """Read a placement record.

    Raises:
        ExportError: the file cannot be read or breaks the schema.
    """
    try:
        places = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error
    if not isinstance(places, dict) or not places:
        raise ExportError(f"{path}: must map each service to its address and node")
    for service, place in places.items():
        _check(path, service, place)
    taken: dict[tuple[str, str], str] = {}
    for service, key in _keys(places):
        if key in taken:
            raise ExportError(f"{path}: {taken[key]} and {service} share the {key[0]} {key[1]}")
        taken[key] = service
    return Placement(places)


def _check(path: Path, service: str, place: object) -> None:
    if not isinstance(place, dict) or not isinstance(place.get("node"), str):
        raise ExportError(f"{path}: {service} has no node")
    if "_" in service or "_" in place["node"]:
        raise ExportError(f"{path}: {service}: a service or node name holds no underscore")
    for key in ("address", "pod", "node_address"):
        if not isinstance(place.get(key, ""), str):
            raise ExportError(f"{path}: {service}: {key} must be a text")
    gpus = place.get("gpus", [])
    if not isinstance(gpus, list) or not all(isinstance(gpu, str) for gpu in gpus):
        raise ExportError(f"{path}: {service}: gpus must be a list of UUIDs")
