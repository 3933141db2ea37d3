import json

import pyarrow.parquet as pq
import pytest

from rca_benchmark.errors import BenchError
from rca_benchmark.evaluation.results import (
    JOURNAL,
    SCHEMA,
    ResultStore,
    read_results,
    to_frame,
    to_table,
)


def row(case="a", method="baro", **changes):
    fields = {"dataset": "demo", "case": case, "method": method, "tdelta": 0.0, "length": None}
    return dict.fromkeys(SCHEMA.names) | fields | {"status": "ok", "seconds": 0.1} | changes


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_results_are_written_and_read_back(tmp_path):
    with ResultStore.opened(tmp_path) as store:
        store.add(row(services=["a", "b"]))
    assert read_results(tmp_path).equals(to_frame(to_table([row(services=["a", "b"])])))
    assert names(tmp_path) == ["results.parquet"]


def test_the_contract_of_the_columns():
    assert SCHEMA.names[:18] == [
        *("dataset", "case", "method", "fault", "target", "tdelta", "length", "status", "reason"),
        *("services", "indicators", "rank_service", "rank_indicator", "candidates"),
        *("seconds", "cpu_seconds", "peak_mb", "seed"),
    ]


def test_the_order_is_not_that_of_arrival(tmp_path):
    rows = [row("b"), row("a", length=9), row("a", "nsigma"), row("a", tdelta=5.0), row("a")]
    with ResultStore.opened(tmp_path) as store:
        for one in rows:
            store.add(one)
    found = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert [(one["case"], one["tdelta"], one["length"], one["method"]) for one in found] == [
        ("a", 0, 9, "baro"),
        ("a", 0, None, "baro"),
        ("a", 0, None, "nsigma"),
        ("a", 5, None, "baro"),
        ("b", 0, None, "baro"),
    ]


def test_a_row_replaces_the_one_before_it(tmp_path):
    for status in ("timeout", "ok"):
        with ResultStore.opened(tmp_path) as store:
            store.add(row(status=status))
    assert read_results(tmp_path)["status"].tolist() == ["ok"]


def test_rows_are_on_disk_before_the_run_ends(tmp_path):
    with ResultStore.opened(tmp_path) as store:
        store.add(row("a"))
        store.add(row("b"))
        lines = (tmp_path / JOURNAL).read_text().splitlines()
        assert [json.loads(line)["case"] for line in lines] == ["a", "b"]


def test_a_line_that_was_cut_off_is_computed_again(tmp_path):
    (tmp_path / JOURNAL).write_text(json.dumps(row("a")) + "\n" + json.dumps(row("b"))[:40])
    with ResultStore.opened(tmp_path) as store:
        assert [key[1] for key in store.rows] == ["a"]
    assert read_results(tmp_path)["case"].tolist() == ["a"]


def test_two_runs_cannot_share_a_folder(tmp_path):
    second = ResultStore.opened(tmp_path)
    with ResultStore.opened(tmp_path), pytest.raises(BenchError, match="another evaluation"):
        second.__enter__()


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_results_that_cannot_be_read_are_named(tmp_path, content):
    if content:
        (tmp_path / "results.parquet").write_bytes(content)
    with pytest.raises(BenchError, match=r"results\.parquet: cannot be read"):
        read_results(tmp_path)
