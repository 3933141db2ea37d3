"""injection.json: the ground truth of a case on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rca_benchmark.case import GroundTruth, Injection
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
_TIMES = ("requested_ns", "active_ns", "removed_ns", "recovered_ns")


def read_injection(path: Path) -> GroundTruth:
    """The ground truth in an injection file.

    Raises:
        CaseError: the file cannot be read, or breaks the schema.
    """
    document = _load(path)
    for key in ("service", "fault"):
        if not isinstance(document.get(key), str) or not document[key]:
            raise CaseError(f"{path}: {key} must be a non-empty text")
    return GroundTruth(
        service=document["service"],
        fault=document["fault"],
        indicator=document.get("indicator"),
        injection=Injection(
            active_ns=document["active_ns"],
            requested_ns=document.get("requested_ns"),
            removed_ns=document.get("removed_ns"),
            recovered_ns=document.get("recovered_ns"),
            parameters=document.get("parameters") or {},
            evidence=document.get("evidence") or {},
        ),
    )


def read_inject_time(path: Path) -> int:
    """Only the inject time of an injection file, for readers that must not see the rest."""
    return int(_load(path)["active_ns"])


def injection_document(case: str, truth: GroundTruth) -> dict[str, Any]:
    """The content of injection.json for a ground truth."""
    injection = truth.injection
    return {
        "schema": SCHEMA,
        "case": case,
        "service": truth.service,
        "fault": truth.fault,
        "indicator": truth.indicator,
        "parameters": dict(injection.parameters),
        **{key: getattr(injection, key) for key in _TIMES},
        "evidence": dict(injection.evidence),
    }


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise CaseError(f"{path}: not an injection file of schema {SCHEMA}")
    for key in _TIMES:
        value = document.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise CaseError(f"{path}: {key} must be whole UTC epoch nanoseconds, not {value!r}")
    if document.get("active_ns") is None:
        raise CaseError(f"{path}: active_ns is missing: the fault was never confirmed active")
    return document
