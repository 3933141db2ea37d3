"""The seam between telemetry back ends and a case: a window goes in, typed tables come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECOND_NS = 1_000_000_000

Tick = Callable[[str], None]
"""Called with a label each time a back end has finished one of its ``steps``."""


@dataclass(frozen=True)
class Window:
    """The time span of a case.

    Attributes:
        start_ns: UTC epoch nanoseconds, included.
        end_ns: UTC epoch nanoseconds, included.
        step_ns: distance of two metric samples; whole seconds.

    Raises:
        ExportError: the window holds fewer than two whole steps.
    """

    start_ns: int
    end_ns: int
    step_ns: int = SECOND_NS

    def __post_init__(self) -> None:
        if self.grid().size < 2:
            raise ExportError(
                f"window from {self.start_ns} to {self.end_ns}: holds fewer than two steps of "
                f"{self.step_ns} ns; give a later --end"
            )

    def grid(self) -> NDArray[np.int64]:
        """The sample times: every whole step inside the window, UTC epoch ns."""
        first = -(-self.start_ns // self.step_ns) * self.step_ns
        return np.arange(first, self.end_ns + 1, self.step_ns, dtype=np.int64)

    def holds(self, time_ns: int) -> bool:
        """Whether an instant lies inside the window."""
        return self.start_ns <= time_ns <= self.end_ns


@dataclass(frozen=True)
class Samples:
    """How many metric samples a source should have given and how many it gave."""

    expected: int
    received: int


@dataclass(frozen=True, eq=False)
class Telemetry:
    """What one back end delivers. Parts that it does not know stay empty.

    Attributes:
        metrics: indexed by the window's grid, one float64 column per indicator; an indicator
            that was asked for and is absent is a column of nulls.
        logs: columns of ``case.LOG_COLUMNS``.
        traces: columns of ``case.TRACE_COLUMNS``.
        samples: bookkeeping of the metrics; None where the back end gives no metrics.
        counts: further figures worth keeping, by name.
    """

    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    logs: pd.DataFrame = field(default_factory=lambda: typed_table([], LOG_COLUMNS))
    traces: pd.DataFrame = field(default_factory=lambda: typed_table([], TRACE_COLUMNS))
    samples: Samples | None = None
    counts: dict[str, int] = field(default_factory=dict)


class BackEnd(Protocol):
    """A source of telemetry."""

    @property
    def name(self) -> str:
        """What the quality record calls it."""

    @property
    def steps(self) -> int:
        """How often ``fetch`` will tick."""

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All telemetry of the window.

        Raises:
            ExportError: the back end is down or its answer cannot be used.
        """
