"""One flat record per request: named instants, counts, and what went wrong.

The schema is defined here and nowhere else: the fields of ``Record`` are the columns of
``requests.parquet``. Every figure of a run is a difference of two instants or a sum of counts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm_benchmark.files import replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS_NAME = "requests.parquet"
PARTIAL_NAME = "requests.arrows.partial"
ROW_GROUP_ROWS = 65_536


def _column(kind: pa.DataType, doc: str) -> dict[str, Any]:
    return {"type": kind, "doc": doc}


@dataclass(slots=True, kw_only=True)
class Record:
    """One request. Instants are UTC epoch ns of one monotonic clock, null where never reached."""

    id: int = field(metadata=_column(pa.int64(), "index of the request in the schedule, from 0"))
    provider: str = field(metadata=_column(pa.string(), "API spoken"))
    model: str = field(metadata=_column(pa.string(), "model asked for"))
    stream: bool = field(
        metadata=_column(pa.bool_(), "whether the answer was asked for token by token")
    )
    trace_id: str = field(
        metadata=_column(pa.string(), "W3C trace id sent with the request, 32 hex digits")
    )
    span_id: str = field(
        metadata=_column(pa.string(), "W3C span id sent with the request, 16 hex digits")
    )
    intended_ns: int = field(metadata=_column(pa.int64(), "instant at which the request was due"))
    sent_ns: int | None = field(
        default=None,
        metadata=_column(
            pa.int64(), "instant at which the client began to send, connecting included"
        ),
    )
    first_byte_ns: int | None = field(
        default=None,
        metadata=_column(pa.int64(), "instant at which the answer's headers had arrived"),
    )
    first_token_ns: int | None = field(
        default=None,
        metadata=_column(pa.int64(), "instant of the first event with text; null in plain answers"),
    )
    last_token_ns: int | None = field(
        default=None,
        metadata=_column(pa.int64(), "instant of the last event with text; null in plain answers"),
    )
    end_ns: int | None = field(
        default=None,
        metadata=_column(pa.int64(), "instant at which the answer, or the failure, was complete"),
    )
    itl_ns: list[int] = field(
        default_factory=list,
        metadata=_column(pa.list_(pa.int64()), "gaps between successive events with text, ns"),
    )
    prompt_tokens: int = field(default=0, metadata=_column(pa.int64(), "tokens of the prompt"))
    output_tokens: int = field(default=0, metadata=_column(pa.int64(), "tokens of the answer"))
    tokens_from: str = field(
        default="",
        metadata=_column(
            pa.string(),
            "`usage`: the server's count; `counted`: words of the prompt and events with text"
            " (words of a plain answer); empty: no answer",
        ),
    )
    status: int | None = field(
        default=None, metadata=_column(pa.int16(), "HTTP status; null without an answer")
    )
    error_class: str = field(
        default="", metadata=_column(pa.string(), "kind of failure; empty: success")
    )
    error: str = field(
        default="", metadata=_column(pa.string(), "the failure in words; empty: success")
    )
    replica: str = field(
        default="",
        metadata=_column(pa.string(), "the answer's `x-replica` header; empty: not told"),
    )


COLUMNS = fields(Record)
SCHEMA = pa.schema(
    [
        pa.field(column.name, column.metadata["type"], metadata={"doc": column.metadata["doc"]})
        for column in COLUMNS
    ]
)
_values = attrgetter(*SCHEMA.names)


def to_batch(records: list[Record]) -> pa.RecordBatch:
    """Return the records as one batch of ``SCHEMA``; at least one record is needed."""
    columns = zip(*map(_values, records), strict=True)
    return pa.record_batch(
        [pa.array(values, kind) for values, kind in zip(columns, SCHEMA.types, strict=True)],
        schema=SCHEMA,
    )


class RecordWriter:
    """Writes records while the run lasts and turns them into ``requests.parquet`` at its end.

    The running file is an Arrow IPC stream, because such a file can be read up to its last complete
    batch whenever its writer dies; Parquet keeps its schema in a footer written last, so that a
    half-written file is lost.
    """

    def __init__(self, folder: Path) -> None:
        self._partial = folder / PARTIAL_NAME
        self._final = folder / RECORDS_NAME
        self._waiting: list[Record] = []
        # The library's first conversion loads pandas, for 100 ms and more: now, not under load.
        pa.array([], pa.int64())
        self._file = pa.OSFile(str(self._partial), "wb")
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)

    def add(self, record: Record) -> None:
        """Take one finished record; it is written at the next ``flush``."""
        self._waiting.append(record)

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: The file cannot be written.
        """
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._stream.write_batch(to_batch(waiting))

    def finish(self) -> Path:
        """Write the last records and put the complete ``requests.parquet`` in place.

        Returns:
            Its path.

        Raises:
            OSError: A file cannot be written; the running file stays.
        """
        self.flush()
        self._stream.close()
        self._file.close()
        with replace(self._final) as path, pa.OSFile(str(self._partial)) as source:
            _convert(pa.ipc.open_stream(source), path)
        self._partial.unlink()
        return self._final


def _convert(batches: Iterator[pa.RecordBatch], path: Path) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as parquet:
        group: list[pa.RecordBatch] = []
        for batch in batches:
            group.append(batch)
            if sum(part.num_rows for part in group) >= ROW_GROUP_ROWS:
                parquet.write_table(pa.Table.from_batches(group))
                group = []
        if group:
            parquet.write_table(pa.Table.from_batches(group))


def read_partial(path: Path) -> pa.Table:
    """Read the running file of a run that died, up to its last complete batch.

    Args:
        path: A ``requests.arrows.partial``.

    Returns:
        A table of ``SCHEMA``.

    Raises:
        pyarrow.ArrowInvalid: Not even the file's schema is complete.
    """
    batches = []
    with pa.OSFile(str(path)) as source:
        stream = pa.ipc.open_stream(source)
        # Where the writer died inside a batch, what came before it is whole.
        with suppress(pa.ArrowInvalid, OSError):
            batches.extend(stream)
    return pa.Table.from_batches(batches, SCHEMA)
