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
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

RECORDS_NAME = "requests.parquet"
PARTIAL_PATTERN = "requests-*.arrows.partial"
ROW_GROUP_ROWS = 65_536
BATCH_ROWS = 64
BATCH_ROWS_READ = 8_192


def partial_name(worker: int) -> str:
    """Return the name of the file into which a worker writes while the run lasts."""
    return PARTIAL_PATTERN.replace("*", str(worker))


def _column(kind: pa.DataType, doc: str) -> dict[str, Any]:
    return {"type": kind, "doc": doc}


@dataclass(slots=True, kw_only=True)
class Record:
    """One request. Instants are UTC epoch ns of one monotonic clock, null where never reached."""

    id: int = field(
        metadata=_column(pa.int64(), "index of the request, or its conversation, in the schedule")
    )
    turn: int = field(
        default=0, metadata=_column(pa.int16(), "which request of its conversation, from 0")
    )
    worker: int = field(
        default=0, metadata=_column(pa.int16(), "which process of the generator sent it, from 0")
    )
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
    prompt_tokens_asked: int = field(
        default=0,
        metadata=_column(pa.int64(), "tokens of the user's text as the tokenizer counts them"),
    )
    output_tokens_asked: int = field(
        default=0, metadata=_column(pa.int64(), "tokens that were asked for")
    )
    prompt_tokens: int = field(default=0, metadata=_column(pa.int64(), "tokens of the prompt"))
    output_tokens: int = field(default=0, metadata=_column(pa.int64(), "tokens of the answer"))
    tokens_from: str = field(
        default="",
        metadata=_column(
            pa.string(),
            "`usage`: the server's count; `counted`: the tokenizer's count of the prompt and events"
            " with text (the tokenizer's count of a plain answer); empty: no answer",
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
    """Writes records while the run lasts, as an Arrow IPC stream.

    Such a file can be read up to its last complete batch whenever its writer dies; Parquet keeps
    its schema in a footer written last, so that a half-written file is lost.

    Args:
        path: The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._waiting: list[Record] = []
        # The library's first conversion loads pandas, for 100 ms and more: now, not under load.
        pa.array([], pa.int64())
        self._file = pa.OSFile(str(path), "wb")
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        # Writes the schema, so that the file can be read from now on.
        self._stream.write_batch(pa.RecordBatch.from_pylist([], SCHEMA))

    def add(self, record: Record) -> None:
        """Take one finished record; it is written at the next ``flush``.

        Raises:
            OSError: The file cannot be written.
        """
        self._waiting.append(record)
        # Many at once would hold up the event loop for milliseconds.
        if len(self._waiting) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> int:
        """Write what waits, and return the size of the file, in bytes.

        Raises:
            OSError: The file cannot be written.
        """
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._stream.write_batch(to_batch(waiting))
        return int(self._file.tell())

    def finish(self) -> None:
        """Write the last records and the end of the stream.

        Raises:
            OSError: The file cannot be written.
        """
        self.flush()
        self._stream.close()
        self._file.close()


class RecordTail:
    """Reads a file of records while another process writes it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._read = 0

    def read(self, size: int) -> list[pa.RecordBatch]:
        """Return the batches that are new, given how far the file is complete, in bytes."""
        if size <= self._read:
            return []
        self._file.seek(self._read)
        data = pa.BufferReader(self._file.read(size - self._read))
        batches = []
        while data.tell() < data.size():
            try:
                message = pa.ipc.read_message(data)
            except EOFError:
                break  # the mark at the end of a complete stream
            if message.type == "record batch":
                batches.append(pa.ipc.read_record_batch(message, SCHEMA))
        self._read = size
        return batches

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def row_groups(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """Give the records of several files, one file after the other, in tables of bounded size.

    Files that their writers did not complete are read up to their last complete batch.
    """
    for path in paths:
        group: list[pa.RecordBatch] = []
        for batch in _batches(path):
            group.append(batch)
            if sum(part.num_rows for part in group) >= ROW_GROUP_ROWS:
                yield pa.Table.from_batches(group, SCHEMA)
                group = []
        if group:
            yield pa.Table.from_batches(group, SCHEMA)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as parquet:
            yield from parquet.iter_batches(BATCH_ROWS_READ)
        return
    with pa.OSFile(str(path)) as source:
        stream = pa.ipc.open_stream(source)
        # Where the writer died inside a batch, what came before it is whole.
        with suppress(pa.ArrowInvalid, OSError):
            yield from stream


def write_parquet(groups: Iterable[pa.Table], path: Path) -> None:
    """Write tables of ``SCHEMA`` as one Parquet file, a row group each, in one go.

    Raises:
        OSError: The file cannot be written.
    """
    with replace(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as parquet:
        for group in groups:
            parquet.write_table(group)


def read_partial(path: Path) -> pa.Table:
    """Read the running file of a run that died, up to its last complete batch.

    Args:
        path: A ``requests-N.arrows.partial``.

    Returns:
        A table of ``SCHEMA``.

    Raises:
        pyarrow.ArrowInvalid: Not even the file's schema is complete.
    """
    return pa.concat_tables([SCHEMA.empty_table(), *row_groups([path])])
