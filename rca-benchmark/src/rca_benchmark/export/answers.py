"""Answers of back ends, kept on disk until their case is written: nothing is asked twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd
import pyarrow as pa
from pyarrow import feather

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.export.base import Telemetry

if TYPE_CHECKING:
    from rca_benchmark.export.base import Plan, Window

EventKind = Literal["logs", "traces"]
_REST: Final = "rest.json"
_EVENTS: Final[dict[EventKind, dict[str, str]]] = {"logs": LOG_COLUMNS, "traces": TRACE_COLUMNS}


@dataclass(frozen=True)
class Answers:
    """A folder with one sub-folder per answer, named after the back end and what it was asked.

    Attributes:
        folder: beside the case that is to be written; need not exist.
    """

    folder: Path

    @staticmethod
    def beside(out: Path) -> Answers:
        """The answers of the case that ``out`` will be."""
        return Answers(out.parent / f".{out.name}.incomplete")

    def load(self, name: str, window: Window, plan: Plan) -> Telemetry | None:
        """The answer to the same questions over the same window, if kept, but for its events."""
        folder = self._place(name, window, plan)
        if not (folder / _REST).is_file():
            return None
        rest = json.loads((folder / _REST).read_text(encoding="utf-8"))
        fields: dict[str, Any] = rest["fields"]
        fields["problems"] = tuple(fields["problems"])
        fields["calls"] = tuple(tuple(pair) for pair in fields["calls"])
        metrics = _read(folder / "metrics.arrow")
        tables = {key: _read(folder / f"extra-{key}.arrow") for key in rest["tables"]}
        return Telemetry(
            metrics=metrics.set_index("time") if len(metrics.columns) else pd.DataFrame(),
            extras=rest["extras"] | tables,
            **fields,
        )

    def events(self, name: str, window: Window, plan: Plan, kind: EventKind) -> pd.DataFrame:
        """The log records or the spans of an answer that was kept."""
        path = self._place(name, window, plan) / f"{kind}.arrow"
        return typed_table(_read(path), _EVENTS[kind])

    def save(self, name: str, window: Window, plan: Plan, answer: Telemetry) -> None:
        """Keep an answer, whole or not at all."""
        place = self._place(name, window, plan)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=self.folder, prefix=".partial."))
        tables = {k: v for k, v in answer.extras.items() if isinstance(v, pd.DataFrame)}
        metrics = answer.metrics
        if len(metrics.columns):
            metrics = metrics.rename_axis(index="time").reset_index()
        _write(partial / "metrics.arrow", metrics)
        for kind in _EVENTS:
            _write(partial / f"{kind}.arrow", getattr(answer, kind))
        for key, table in tables.items():
            _write(partial / f"extra-{key}.arrow", table)
        rest = {
            "fields": {
                field.name: getattr(answer, field.name)
                for field in dataclasses.fields(answer)
                if field.name not in ("metrics", "logs", "traces", "extras")
            },
            "tables": sorted(tables),
            "extras": {k: v for k, v in answer.extras.items() if k not in tables},
        }
        (partial / _REST).write_text(json.dumps(rest), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)

    def remove(self) -> None:
        """Forget all answers: the case is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, name: str, window: Window, plan: Plan) -> Path:
        asked: list[Any] = [window.start_ns, window.end_ns, window.step_ns, plan]
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        return self.folder / f"{name}-{digest[:16]}"


def _write(path: Path, table: pd.DataFrame) -> None:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    feather.write_feather(arrow, path, compression="uncompressed")


def _read(path: Path) -> pd.DataFrame:
    """A table, mapped and not read: events are as large as all else together."""
    table: pd.DataFrame = feather.read_table(path, memory_map=True).to_pandas()
    return table
