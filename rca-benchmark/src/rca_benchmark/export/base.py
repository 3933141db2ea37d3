"""The seam between telemetry back ends and a case: a window goes in, typed tables come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECOND_NS = 1_000_000_000

Tick = Callable[[str], None]
"""Called with a label each time a back end has finished one of its ``steps``."""

Plan = list[tuple[str, str]]
"""What a back end would ask: pairs of where and what."""


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

    def __str__(self) -> str:
        return f"{self.start_ns} .. {self.end_ns} ns"

    def holds(self, time_ns: int) -> bool:
        """Whether an instant lies inside the window."""
        return self.start_ns <= time_ns <= self.end_ns


@dataclass(frozen=True, eq=False)
class Telemetry:
    """What one back end delivers. Parts that it does not know stay empty.

    Attributes:
        metrics: indexed by the window's grid, one float64 column per indicator; an indicator
            that was asked for and is absent is a column of nulls.
        logs: columns of ``case.LOG_COLUMNS``.
        traces: columns of ``case.TRACE_COLUMNS``.
        received: samples that came, by indicator; a value that is no number was received.
        counts: further figures worth keeping, by name.
        clock_skew_s: by how much the source's clock is ahead of this machine's, by clock.
        scrapes: share of successful scrapes during the fault, by target.
        calls: pairs of caller and callee that were seen other than in traces.
        problems: what makes the case doubtful, one line each.
        extras: what only other layouts have a place for, by name: tables, or lists of objects.
    """

    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    logs: pd.DataFrame = field(default_factory=lambda: typed_table([], LOG_COLUMNS))
    traces: pd.DataFrame = field(default_factory=lambda: typed_table([], TRACE_COLUMNS))
    received: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    clock_skew_s: dict[str, float] = field(default_factory=dict)
    scrapes: dict[str, float] = field(default_factory=dict)
    calls: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)


class BackEnd(Protocol):
    """A source of telemetry."""

    @property
    def name(self) -> str:
        """What the quality record calls it."""

    @property
    def steps(self) -> int:
        """How often ``fetch`` will tick."""

    def plan(self, window: Window) -> Plan:
        """What ``fetch`` would ask, without asking it."""

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All telemetry of the window.

        Raises:
            ExportError: the back end is down or its answer cannot be used.
        """
