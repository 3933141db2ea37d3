"""The index of a native data set: ``dataset.json`` and ``index.parquet`` beside its cases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from rca_benchmark.dataset import native
from rca_benchmark.dataset.layout import CaseRef, read_json
from rca_benchmark.dataset.parquet import read_parquet, write_parquet
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rca_benchmark.case import Case

SCHEMA: Final = 1
MANIFEST: Final = "dataset.json"
INDEX: Final = "index.parquet"
# One row per case. It holds ground truth: no reader of observations opens it.
COLUMNS: Final = {
    "case": "str",
    "path": "str",  # folder, relative to the data set
    "digest": "str",  # of the content, see Case
    "service": "str",  # ground truth
    "fault": "str",  # ground truth
    "indicator": "str",  # ground truth; empty where unknown
    "rows": "int64",
    "indicators": "int64",
    "logs": "int64",
    "spans": "int64",
    "start_ns": "int64",
    "end_ns": "int64",
    "inject_ns": "int64",
    "step_ns": "int64",
    "sli": "str",  # empty where there is none
    "services": "object",  # the candidates
}


def is_indexed(root: Path) -> bool:
    """Whether a data set has a manifest."""
    return (root / MANIFEST).is_file()


def write_index(
    root: Path, *, name: str, version: str, licence: str, with_rejected: bool = False
) -> None:
    """Write manifest and index of a folder of native cases; every case is read once.

    Args:
        root: the folder.
        name: name of the data set.
        version: its version.
        licence: its licence.
        with_rejected: whether cases that were found wanting when exported belong to it.

    Raises:
        CaseError: the folder holds no native case, none that can be scored, or one that cannot be
            read.
    """
    there = native.find_all(root)
    taken = [path for path in there if with_rejected or not native.is_rejected(path)]
    controls = [path for path in taken if native.is_control(path)]
    paths = [path for path in taken if path not in controls]
    if not there:
        raise CaseError(f"{root}: no native case; expected {native.EXPECTED}")
    if not paths:
        raise native.nothing_to_score(root, there)
    rows = case_rows(native.read_case(path, name) for path in paths)
    write_parquet(root / INDEX, rows)
    manifest = {
        "schema": SCHEMA,
        "name": name,
        "version": version,
        "licence": licence,
        "step_ns": sorted({int(step) for step in rows["step_ns"]}),
        "sli": sorted({str(sli) for sli in rows["sli"] if sli}),
        "services": sorted({str(service) for some in rows["services"] for service in some}),
        "index": native.sha256(root / INDEX),
        "cases": {path.name: native.sha256(path / "case.json") for path in paths},
        "controls": {path.name: native.sha256(path / "case.json") for path in controls},
        "rejected": sorted(path.name for path in there if path not in taken),
    }
    native.write_json(root / MANIFEST, manifest)


def case_rows(cases: Iterable[Case]) -> pd.DataFrame:
    """One row of ``COLUMNS`` per case; the path is the case's name."""
    rows = pd.DataFrame([_row(case) for case in cases], columns=list(COLUMNS))
    return rows.astype(COLUMNS)


def read_index(root: Path) -> pd.DataFrame:
    """All rows of the index.

    Raises:
        CaseError: it cannot be read, or a column is missing.
    """
    return read_parquet(root / INDEX, list(COLUMNS))


def read_manifest(root: Path) -> dict[str, Any]:
    """The content of dataset.json.

    Raises:
        CaseError: it cannot be read or breaks the schema.
    """
    path = root / MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise CaseError(f"{path}: not a data set of schema {SCHEMA}")
    if missing := {"name", "version", "licence", "index", "cases"} - set(manifest):
        raise CaseError(f"{path}: keys missing: {', '.join(sorted(missing))}")
    return manifest


def hashes_of(manifest: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each case.json that belongs to a data set, controls included, by folder."""
    return {**manifest["cases"], **manifest.get("controls", {})}


def find_cases(root: Path) -> list[CaseRef]:
    """The cases that the index lists; no case is opened.

    Raises:
        CaseError: the index cannot be read, or its cases are not the folders that are there.
    """
    manifest = read_manifest(root)
    name = str(manifest["name"])
    rows = read_parquet(root / INDEX, ["case", "path"])
    listed = {*rows["path"], *manifest.get("controls", ())}
    there = _folder_names(root) - set(manifest.get("rejected", ()))
    if listed != there:
        case = min(listed ^ there)
        what = "a case of the index is missing" if case in listed else "not in the index"
        raise CaseError(
            f"{root / case}: {what}; run: rca-benchmark dataset index {root}, or unpack again"
        )
    return [
        CaseRef(name, case, root / path, native.NAME)
        for case, path in zip(rows["case"], rows["path"], strict=True)
    ]


def find_problems(root: Path) -> list[str]:
    """What of manifest, index and cases does not fit together, one line each."""
    try:
        manifest = read_manifest(root)
        rows = read_index(root)
    except CaseError as error:
        return [str(error)]
    problems = []
    if native.sha256(root / INDEX) != manifest["index"]:
        problems.append(f"{root / INDEX}: differs from its SHA-256 in {MANIFEST}")
    hashes = hashes_of(manifest)
    listed = set(hashes)
    there = _folder_names(root) - set(manifest.get("rejected", ()))
    problems += [f"{root / case}: not in {MANIFEST}" for case in sorted(there - listed)]
    problems += [f"{root / case}: missing, but in {MANIFEST}" for case in sorted(listed - there)]
    for number, case in enumerate(rows["path"]):
        if case not in manifest["cases"]:
            problems.append(f"{root / INDEX}: row {number}: case {case} is not in {MANIFEST}")
    for case in sorted(listed & there):
        path = root / case / "case.json"
        if path.is_file() and native.sha256(path) != hashes[case]:
            problems.append(f"{path}: differs from its SHA-256 in {MANIFEST}")
    return problems


def _folder_names(root: Path) -> set[str]:
    with os.scandir(root) as entries:
        return {
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        }


def _row(case: Case) -> dict[str, Any]:
    observation, truth = case.observation, case.truth
    times = observation.metrics["time"]
    return {
        "case": case.name,
        "path": case.name,
        "digest": case.digest,
        "service": truth.service,
        "fault": truth.fault,
        "indicator": truth.indicator or "",
        "rows": len(times),
        "indicators": len(observation.indicators),
        "logs": len(observation.logs),
        "spans": len(observation.traces),
        "start_ns": times.iloc[0],
        "end_ns": times.iloc[-1],
        "inject_ns": truth.injection.active_ns,
        "step_ns": observation.step_ns,
        "sli": observation.sli or "",
        "services": list(observation.services),
    }
