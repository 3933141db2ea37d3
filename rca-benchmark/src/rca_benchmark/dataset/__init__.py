"""Data sets: a data set is a folder of cases, in the native or in RCAEval's legacy layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rca_benchmark.dataset import native, rcaeval
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

    from rca_benchmark.case import Case, Observation

__all__ = ["CaseRef", "find_cases", "read_case", "read_observation"]

Layout = Literal["native", "rcaeval"]


@dataclass(frozen=True)
class CaseRef:
    """Where a case lies; cheap to make and to send to another process."""

    dataset: str
    name: str
    path: Path
    layout: Layout


def find_cases(root: Path) -> list[CaseRef]:
    """All cases of a data set, by name. Nothing is read; hidden folders are left out.

    Raises:
        CaseError: the folder is missing or holds no case.
    """
    if not root.is_dir():
        raise CaseError(f"{root}: no such folder")
    dataset = root.resolve().name
    folders = _folders(root)
    if any((folder / "case.json").is_file() for folder in folders):
        return [CaseRef(dataset, folder.name, folder, "native") for folder in folders]
    instances = [path for folder in folders if "_" in folder.name for path in _folders(folder)]
    if any(rcaeval.is_legacy_case(path) for path in instances):
        return [
            CaseRef(dataset, f"{path.parent.name}/{path.name}", path, "rcaeval")
            for path in instances
        ]
    raise CaseError(
        f"{root}: no case found; expected <case>/case.json or <service>_<fault>/<n>/data.csv"
    )


def read_case(ref: CaseRef) -> Case:
    """Read a case, whatever its layout.

    Raises:
        CaseError: the case cannot be read.
    """
    reader = native.read_case if ref.layout == "native" else rcaeval.read_case
    return reader(ref.path, ref.dataset)


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of a case folder, whatever its layout.

    Raises:
        CaseError: the case cannot be read.
    """
    if rcaeval.is_legacy_case(directory):
        return rcaeval.read_observation(directory)
    return native.read_observation(directory)


def _folders(root: Path) -> list[Path]:
    return sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
