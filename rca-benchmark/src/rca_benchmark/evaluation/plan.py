"""What is to be run: cases x methods x configurations, with limits and a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rca_benchmark.dataset import CaseRef
    from rca_benchmark.preprocess import Preparation


@dataclass(frozen=True)
class Limits:
    """What one method may use on one case.

    Attributes:
        seconds: wall-clock time; None for no limit.
        memory_mb: data memory of the whole process in MiB, interpreter and case included; None
            for no limit.
    """

    seconds: float | None = None
    memory_mb: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        refs: the cases.
        methods: names of registered methods.
        preparations: every method runs once per case and preparation.
        seed: all seeds are derived from it.
        limits: for each method on each case.
    """

    refs: tuple[CaseRef, ...]
    methods: tuple[str, ...]
    preparations: tuple[Preparation, ...]
    seed: int = 0
    limits: Limits = Limits()

    @property
    def size(self) -> int:
        """Number of rows that it gives."""
        return len(self.refs) * len(self.methods) * len(self.preparations)


def derive_seed(seed: int, digest: str, method: str) -> int:
    """A seed that depends on the case's content and the method, not on order or place."""
    material = hashlib.sha256(f"{seed}:{digest}:{method}".encode()).digest()
    return int.from_bytes(material[:8], "big") >> 1  # 63 bits: fits a signed column
