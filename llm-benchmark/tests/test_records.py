from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_benchmark import records
from llm_benchmark.records import (
    COLUMNS,
    SCHEMA,
    RecordTail,
    RecordWriter,
    read_partial,
    row_groups,
    write_parquet,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRecord = Callable[..., records.Record]

README = Path(__file__).parents[1] / "README.md"


def write(path: Path, make_record: MakeRecord, numbers: range) -> Path:
    writer = RecordWriter(path)
    for number in numbers:
        writer.add(make_record(id=number))
        writer.flush()
    writer.finish()
    return path


def test_records_come_back_as_they_were_written(tmp_path: Path, make_record: MakeRecord) -> None:
    path = tmp_path / "running"
    writer = RecordWriter(path)
    for index in range(5):
        writer.add(make_record(id=index, itl_ns=[index] * index, sent_ns=1_800_000_000_123_456_789))
    writer.finish()
    write_parquet(row_groups([path]), tmp_path / "complete.parquet")
    table = pq.read_table(tmp_path / "complete.parquet")
    assert table.schema.equals(SCHEMA)
    assert table["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["itl_ns"].to_pylist()[2:4] == [[2, 2], [3, 3, 3]]
    assert table["sent_ns"][0].as_py() == 1_800_000_000_123_456_789
    assert table["end_ns"].null_count == 5


def test_a_run_without_requests_has_an_empty_table(tmp_path: Path, make_record: MakeRecord) -> None:
    path = write(tmp_path / "running", make_record, range(0))
    write_parquet(row_groups([path]), tmp_path / "complete.parquet")
    assert pq.read_table(tmp_path / "complete.parquet").schema.equals(SCHEMA)


def test_row_groups_are_filled_from_many_small_batches(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "ROW_GROUP_ROWS", 4)
    paths = [write(tmp_path / "one", make_record, range(10)), tmp_path / "other"]
    write(paths[1], make_record, range(10, 13))
    groups = list(row_groups(paths))
    assert [len(group) for group in groups] == [4, 4, 2, 3]
    assert [number for group in groups for number in group["id"].to_pylist()] == list(range(13))


def test_many_records_at_once_are_written_in_small_batches(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BATCH_ROWS", 10)
    writer = RecordWriter(tmp_path / "running")
    for number in range(25):
        writer.add(make_record(id=number))
    assert len(read_partial(tmp_path / "running")) == 20
    writer.finish()
    assert len(read_partial(tmp_path / "running")) == 25


def test_what_is_written_meanwhile_is_read_once(tmp_path: Path, make_record: MakeRecord) -> None:
    path = tmp_path / "running"
    writer = RecordWriter(path)
    tail = RecordTail(path)
    seen: list[int] = []
    for number in range(20):
        writer.add(make_record(id=number))
        if number % 3 == 0:
            size = writer.flush()
            for batch in tail.read(size):
                seen += batch["id"].to_pylist()
            assert tail.read(size) == []
            assert seen == list(range(number + 1))
    writer.finish()
    for batch in tail.read(path.stat().st_size):
        seen += batch["id"].to_pylist()
    assert seen == list(range(20))
    tail.close()


def test_nothing_complete_is_lost_wherever_the_writer_died(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    partial = tmp_path / "running"
    writer = RecordWriter(partial)
    sizes = []
    for index in range(3):
        writer.add(make_record(id=index))
        sizes.append(writer.flush())
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
