from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_benchmark import records
from llm_benchmark.records import COLUMNS, SCHEMA, RecordWriter, read_partial

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRecord = Callable[..., records.Record]

README = Path(__file__).parents[1] / "README.md"


def test_records_come_back_as_they_were_written(tmp_path: Path, make_record: MakeRecord) -> None:
    writer = RecordWriter(tmp_path)
    for index in range(5):
        writer.add(make_record(id=index, itl_ns=[index] * index, sent_ns=1_800_000_000_123_456_789))
        writer.flush()
    table = pq.read_table(writer.finish())
    assert table.schema.equals(SCHEMA)
    assert table["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["itl_ns"].to_pylist()[2:4] == [[2, 2], [3, 3, 3]]
    assert table["sent_ns"][0].as_py() == 1_800_000_000_123_456_789
    assert table["end_ns"].null_count == 5
    assert [path.name for path in tmp_path.iterdir()] == ["requests.parquet"]


def test_a_run_without_requests_has_an_empty_table(tmp_path: Path) -> None:
    table = pq.read_table(RecordWriter(tmp_path).finish())
    assert table.schema.equals(SCHEMA)
    assert len(table) == 0


def test_row_groups_are_filled_from_many_small_batches(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "ROW_GROUP_ROWS", 4)
    writer = RecordWriter(tmp_path)
    for index in range(10):
        writer.add(make_record(id=index))
        writer.flush()
    metadata = pq.read_metadata(writer.finish())
    assert [metadata.row_group(group).num_rows for group in range(3)] == [4, 4, 2]


def test_nothing_complete_is_lost_wherever_the_writer_died(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    writer = RecordWriter(tmp_path)
    partial = tmp_path / "requests.arrows.partial"
    sizes = []
    for index in range(3):
        writer.add(make_record(id=index))
        writer.flush()
        sizes.append(partial.stat().st_size)
    content = partial.read_bytes()
    writer.finish()
    torn = tmp_path / "torn"
    for size in range(sizes[0], len(content) + 1, 8):
        torn.write_bytes(content[:size])
        assert len(read_partial(torn)) == sum(whole <= size for whole in sizes)


def test_what_is_no_record_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    with pytest.raises((pa.ArrowInvalid, OSError)):
        read_partial(other)


def test_the_readme_documents_every_column() -> None:
    rows = [
        f"| `{column.name}` | {column.metadata['type']} | {column.metadata['doc']} |"
        for column in COLUMNS
    ]
    assert "\n".join(rows) in README.read_text(encoding="utf-8")
