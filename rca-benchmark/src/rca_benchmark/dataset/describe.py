"""What a data set holds, and whether it is whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rca_benchmark.dataset import find_cases, index, native, read_case
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd


def list_cases(root: Path) -> Iterator[str]:
    """The names of all cases. No case is read.

    Raises:
        CaseError: the folder holds no case.
    """
    for ref in find_cases(root):
        yield ref.name


def describe(root: Path) -> Iterator[str]:
    """Lines about a data set: cases by fault and target, services, indicators, step.

    Raises:
        CaseError: the folder holds no case, or a case cannot be read.
    """
    refs = find_cases(root)
    indexed = index.is_indexed(root)
    rows = index.read_index(root) if indexed else index.case_rows(read_case(ref) for ref in refs)
    yield f"{root}: {len(rows)} cases, layout {refs[0].layout}"
    if indexed:
        manifest = index.read_manifest(root)
        yield f"{manifest['name']}, version {manifest['version']}, licence {manifest['licence']}"
        controls, rejected = (len(manifest.get(key, ())) for key in ("controls", "rejected"))
        yield f"beside them: {controls} controls without a fault, {rejected} rejected"
    yield from _describe_rows(rows)


def _describe_rows(rows: pd.DataFrame) -> Iterator[str]:
    pairs = Counter(zip(rows["fault"], rows["service"], strict=True))
    for (fault, target), count in sorted(pairs.items()):
        yield f"  {fault} on {target}: {count}"
    services = sorted({name for some in rows["services"] for name in some})
    yield f"services ({len(services)}): {', '.join(services)}"
    counts = (
        ("indicators", rows["indicators"]),
        ("rows", rows["rows"]),
        ("log records", rows["logs"]),
        ("spans", rows["spans"]),
        ("step, s", rows["step_ns"] / 1e9),
    )
    for label, values in counts:
        yield f"{label}: {values.min():g} to {values.max():g}"
    yield f"SLI: {', '.join(sorted({sli or 'none' for sli in rows['sli']}))}"


def validate(root: Path) -> list[str]:
    """Every problem of every case, one line each: hashes, schemas, times, ground truth.

    Raises:
        CaseError: the folder holds no case.
    """
    problems = index.find_problems(root) if index.is_indexed(root) else []
    if problems:
        return problems
    for ref in find_cases(root):
        found = native.find_problems(ref.path) if ref.layout == native.NAME else []
        if not found:
            try:
                read_case(ref)
            except CaseError as error:
                found = [str(error)]
        problems.extend(found)
    for path in native.find_all(root):
        if native.is_control(path):
            problems.extend(_control_problems(path))
    return problems


def _control_problems(path: Path) -> list[str]:
    if found := native.find_problems(path):
        return found
    try:
        native.read_observation(path)
    except CaseError as error:
        return [str(error)]
    return []
