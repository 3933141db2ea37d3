"""What a data set holds, and whether it is whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rca_benchmark.dataset import find_cases, native, read_case
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def describe(root: Path) -> Iterator[str]:
    """Lines about a data set: cases by fault and target, services, indicators, step.

    Raises:
        CaseError: the folder holds no case, or a case cannot be read.
    """
    cases = [read_case(ref) for ref in find_cases(root)]
    observations = [case.observation for case in cases]
    yield f"{root}: {len(cases)} cases"
    for (fault, target), count in sorted(
        Counter((case.truth.fault, case.truth.service) for case in cases).items()
    ):
        yield f"  {fault} on {target}: {count}"
    services = sorted({name for observation in observations for name in observation.services})
    yield f"services ({len(services)}): {', '.join(services)}"
    counts = (
        ("indicators", [len(observation.indicators) for observation in observations]),
        ("rows", [len(observation.metrics) for observation in observations]),
        ("log records", [len(observation.logs) for observation in observations]),
        ("spans", [len(observation.traces) for observation in observations]),
        ("step, s", [observation.step_ns / 1e9 for observation in observations]),
    )
    for label, values in counts:
        yield f"{label}: {min(values):g} to {max(values):g}"
    yield f"SLI: {', '.join(sorted({str(observation.sli) for observation in observations}))}"


def validate(root: Path) -> list[str]:
    """Every problem of every case, one line each: hashes, schemas, times, ground truth.

    Raises:
        CaseError: the folder holds no case.
    """
    problems = []
    for ref in find_cases(root):
        found = native.find_problems(ref.path) if ref.layout == "native" else []
        if not found:
            try:
                read_case(ref)
            except CaseError as error:
                found = [str(error)]
        problems.extend(found)
    return problems
