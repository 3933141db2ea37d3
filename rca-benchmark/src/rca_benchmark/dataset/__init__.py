"""Data sets: a data set is a folder of cases, in any of the layouts that are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rca_benchmark.dataset import (
    index,
    native,
    petshop,
    rcaeval,
    rcaeval_parquet,
    refstack,
)
from rca_benchmark.dataset.layout import CaseRef, Layout
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

    from rca_benchmark.case import Case, Observation

__all__ = ["LAYOUTS", "CaseRef", "Layout", "find_cases", "read_case", "read_observation"]

# In the order in which they are tried: those that are told apart by less come later.
LAYOUTS: Final[tuple[Layout, ...]] = (native, petshop, refstack, rcaeval_parquet, rcaeval)
_BY_NAME: Final = {layout.NAME: layout for layout in LAYOUTS}


def find_cases(root: Path) -> list[CaseRef]:
    """All cases to score, by name. No case is read; of a data set with an index, only that.

    Raises:
        CaseError: the folder is missing or holds no case, or its index is out of date.
    """
    if not root.is_dir():
        raise CaseError(f"{root}: no such folder")
    if index.is_indexed(root):
        return index.find_cases(root)
    dataset = root.resolve().name
    if (there := native.find_all(root)) and not native.find(root):
        raise native.nothing_to_score(root, there)
    for layout in LAYOUTS:
        if paths := layout.find(root):
            return [CaseRef(dataset, layout.case_name(path), path, layout.NAME) for path in paths]
    expected = "; ".join(layout.EXPECTED for layout in LAYOUTS)
    raise CaseError(f"{root}: no case found; expected one of {expected}")


def read_case(ref: CaseRef) -> Case:
    """Read a case, whatever its layout.

    Raises:
        CaseError: the case cannot be read.
    """
    return _BY_NAME[ref.layout].read_case(ref.path, ref.dataset)


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of a case folder, whatever its layout.

    Raises:
        CaseError: the case cannot be read.
    """
    for layout in LAYOUTS:
        if layout.is_case(directory):
            return layout.read_observation(directory)
    return native.read_observation(directory)  # which says what is missing
