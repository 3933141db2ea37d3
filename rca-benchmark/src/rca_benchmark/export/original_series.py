"""The study's own series (``queries/original.yaml``), each a single one, under their old names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rca_benchmark.export.base import Plan, Telemetry, Tick, Window
from rca_benchmark.export.indicators import Query
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rca_benchmark.export.endpoint import Endpoint

_OWNER: Final = "stack"


@dataclass(frozen=True)
class OriginalSeries:
    """A Prometheus server and PromQL by old name."""

    endpoint: Endpoint
    series: Mapping[str, str]

    name = "original-series"

    @property
    def steps(self) -> int:
        """One per series."""
        return len(self.series)

    def plan(self, window: Window) -> Plan:
        """Every query."""
        return self._server().plan(window)

    def fetch(self, window: Window, tick: Tick) -> Telemetry:
        """All series as one table in ``extras``: the grid, then a column per old name.

        A series without data is a column of nulls, so that every run has the same columns.

        Raises:
            ExportError: a query failed.
        """
        metrics = self._server().fetch(window, tick).metrics
        table = metrics.rename(columns=lambda name: str(name).partition("_")[2])
        table = table.reindex(columns=sorted(self.series))
        return Telemetry(extras={self.name: table.rename_axis(index="time").reset_index()})

    def _server(self) -> Prometheus:
        return Prometheus(
            self.endpoint,
            tuple(
                Query(
                    name,
                    "",
                    "",
                    f'label_replace({query}, "service", "{_OWNER}", "", "")',
                    "service",
                )
                for name, query in self.series.items()
            ),
            Placement(),
        )
