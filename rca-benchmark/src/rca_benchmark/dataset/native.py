"""The native layout: one folder of Parquet and JSON files per case (schema: README.md)."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.case import (
    EDGE_COLUMNS,
    LOG_COLUMNS,
    TRACE_COLUMNS,
    Case,
    GroundTruth,
    Observation,
    typed_table,
)
from rca_benchmark.dataset.injection import injection_document, read_inject_time, read_injection
from rca_benchmark.dataset.layout import folders
from rca_benchmark.dataset.parquet import read_parquet, write_parquet
from rca_benchmark.errors import CaseError
from rca_benchmark.templates import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

NAME: Final = "native"
EXPECTED: Final = "<case>/case.json"
SCHEMA: Final = 1
ATTACHMENTS: Final = ("requests.parquet", "environment.json", "placement.json")
REJECTED: Final = "rejected"
_TABLES: Final = {
    "logs.parquet": LOG_COLUMNS,
    "traces.parquet": TRACE_COLUMNS,
    "topology.parquet": EDGE_COLUMNS,
}


def find(root: Path) -> list[Path]:
    """All folders that are to be scored, broken ones included, if any of them is a native case.

    Rejected cases and controls are not.
    """
    return [path for path in find_all(root) if not is_rejected(path) and not is_control(path)]


def find_all(root: Path) -> list[Path]:
    """All folders, broken ones, rejected cases and controls included, if one is a native case."""
    paths = folders(root)
    return paths if any(is_case(path) for path in paths) else []


def is_rejected(directory: Path) -> bool:
    """Whether a case was found wanting when it was exported; see the quality record."""
    try:
        return bool(read_manifest(directory).get("quality", {}).get("status") == REJECTED)
    except CaseError:
        return False


def is_control(directory: Path) -> bool:
    """Whether a case was recorded without a fault, so that there is nothing to find in it."""
    try:
        return "injection.json" not in read_manifest(directory)["files"]
    except CaseError:
        return False


def nothing_to_score(root: Path, paths: Sequence[Path]) -> CaseError:
    """The error for a folder that holds nothing but rejected cases and controls."""
    controls = sum(is_control(path) for path in paths)
    rejected = len(paths) - controls
    if not rejected:
        return CaseError(f"{root}: all {controls} cases are controls: no fault, nothing to score")
    return CaseError(
        f"{root}: all {rejected} cases are rejected (reasons: case.json, quality); to take them "
        f"all the same, run: rca-benchmark dataset index {root} --with-rejected"
    )


def is_case(directory: Path) -> bool:
    """Whether a folder holds a case; RCAEval's folders may hold a case.json too."""
    return (directory / "case.json").is_file() and not (directory / "inject_time.txt").is_file()


def case_name(directory: Path) -> str:
    """The folder's name."""
    return directory.name


def write_case(
    directory: Path,
    observation: Observation,
    truth: GroundTruth | None,
    *,
    attachments: Mapping[str, Path],
    absent: Sequence[str],
    quality: Mapping[str, Any],
) -> None:
    """Write a case folder, whole or not at all.

    Args:
        directory: the case folder; must not exist. Its last part is the name of the case.
        observation: the telemetry.
        truth: the ground truth; None for a recording without a fault.
        attachments: files to copy, keyed by one of ``ATTACHMENTS``.
        absent: indicators that no back end delivered (columns that are null throughout).
        quality: the quality record.

    Raises:
        CaseError: the folder exists, or the truth and the observation contradict each other.
    """
    refuse_existing(directory)
    if truth is not None:
        Case("", directory.name, "", observation, truth)
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        partial.chmod(0o755)
        _write_tables(partial, observation)
        if truth is not None:
            write_json(partial / "injection.json", injection_document(directory.name, truth))
        for name, source in attachments.items():
            shutil.copyfile(source, partial / name)
        hashes = {path.name: sha256(path) for path in sorted(partial.iterdir())}
        write_json(partial / "case.json", _manifest(observation, absent, quality, hashes))
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_existing(directory: Path) -> None:
    """Raise CaseError where the case folder is already there."""
    if directory.exists():
        raise CaseError(f"{directory}: exists; remove it or choose another name")


def read_case(directory: Path, dataset: str) -> Case:
    """Read a case folder.

    Raises:
        CaseError: a file is missing, cannot be read or breaks its schema.
    """
    manifest = read_manifest(directory)
    if is_control(directory):
        raise CaseError(
            f"{directory}: no injection.json: a recording without a fault cannot be scored"
        )
    observation = read_observation(directory)
    truth = read_injection(directory / "injection.json")
    notes = tuple(manifest.get("quality", {}).get("notes", ()))
    try:
        return Case(dataset, directory.name, _digest(manifest, truth), observation, truth, notes)
    except CaseError as error:
        raise CaseError(f"{directory}: {error}") from error


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of a case folder; of the injection, only its inject time.

    Raises:
        CaseError: a file is missing, cannot be read or breaks its schema.
    """
    manifest = read_manifest(directory)
    injection = directory / "injection.json"
    tables = {name: _read_table(directory / name, columns) for name, columns in _TABLES.items()}
    try:
        return Observation(
            metrics=read_parquet(directory / "metrics.parquet"),
            logs=tables["logs.parquet"],
            traces=tables["traces.parquet"],
            topology=tables["topology.parquet"],
            inject_time_ns=read_inject_time(injection) if injection.is_file() else None,
            sli=manifest["sli"],
            services=tuple(manifest["services"]),
            step_ns=manifest["step_ns"],
        )
    except CaseError as error:
        where = "" if str(directory) in str(error) else f"{directory}: "
        raise CaseError(f"{where}{error}") from error


def read_manifest(directory: Path) -> dict[str, Any]:
    """The content of case.json.

    Raises:
        CaseError: it is missing (the export did not finish) or breaks the schema.
    """
    path = directory / "case.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CaseError(f"{directory}: no case.json: not a complete case; export again") from error
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise CaseError(f"{path}: not a case of schema {SCHEMA}")
    if missing := {"step_ns", "sli", "services", "files"} - set(manifest):
        raise CaseError(f"{path}: keys missing: {', '.join(sorted(missing))}")
    for key, kind in (("step_ns", int), ("services", list), ("files", dict)):
        if not isinstance(manifest[key], kind):
            raise CaseError(f"{path}: {key} is {manifest[key]!r}, expected a {kind.__name__}")
    return manifest


def is_complete(directory: Path) -> bool:
    """Whether case.json is there and every file has the hash that it lists."""
    return not find_problems(directory)


def find_problems(directory: Path) -> list[str]:
    """What keeps a case folder from being complete, one line each; empty when nothing does."""
    try:
        files = read_manifest(directory)["files"]
    except CaseError as error:
        return [str(error)]
    problems = [
        f"{directory}: {name} is not listed in case.json"
        for name in ("metrics.parquet", *_TABLES)
        if name not in files
    ]
    for name, expected in sorted(files.items()):
        path = directory / name
        if path.name != name:
            problems.append(f"{directory}/case.json: {name!r} is no file name")
            continue
        if not path.is_file():
            problems.append(f"{path}: missing; export the case again")
        elif sha256(path) != expected:
            problems.append(f"{path}: differs from its SHA-256 in case.json; export again")
    return problems


def _digest(manifest: Mapping[str, Any], truth: GroundTruth) -> str:
    """SHA-256 of what is observed and what is true, without the name of the case."""
    content = {
        "tables": {name: manifest["files"].get(name) for name in ("metrics.parquet", *_TABLES)},
        "setting": {key: manifest[key] for key in ("step_ns", "sli", "services")},
        "truth": [truth.service, truth.fault, truth.indicator, truth.injection.active_ns],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _manifest(
    observation: Observation,
    absent: Sequence[str],
    quality: Mapping[str, Any],
    hashes: dict[str, str],
) -> dict[str, Any]:
    times = observation.metrics["time"]
    return {
        "schema": SCHEMA,
        "step_ns": observation.step_ns,
        "sli": observation.sli,
        "services": list(observation.services),
        "start_ns": int(times.iloc[0]),
        "end_ns": int(times.iloc[-1]),
        "indicators_absent": list(absent),
        "quality": dict(quality),
        "files": hashes,
    }


def _write_tables(directory: Path, observation: Observation) -> None:
    identities, templates = number(observation.logs["message"])
    for name, table in (
        ("metrics.parquet", observation.metrics),
        ("logs.parquet", observation.logs.assign(template=identities)),
        ("traces.parquet", observation.traces),
        ("topology.parquet", observation.topology),
        ("templates.parquet", templates),
    ):
        write_parquet(directory / name, table)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document, indented."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _read_table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    table = read_parquet(path)
    if {str(name): str(dtype) for name, dtype in table.dtypes.items()} == columns:
        return table
    try:
        return typed_table(table, columns)
    except CaseError as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise CaseError(f"{where}{error}") from error


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
