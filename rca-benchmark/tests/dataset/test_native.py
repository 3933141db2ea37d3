import dataclasses
import json

import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.dataset import find_cases, native, read_case, read_observation
from rca_benchmark.errors import CaseError


def write(directory, observation, truth, **options):
    settings = {"attachments": {}, "absent": (), "quality": {}} | options
    native.write_case(directory, observation, truth, **settings)


@pytest.fixture
def full(make_observation):
    """An observation with every table filled and a gap in the metrics."""
    observation = make_observation(sli="nginx-proxy_latency-90")
    observation.metrics.loc[3, "ray-head_cpu"] = float("nan")
    logs = typed_table([(1, "ray-head", "INFO", "hello\nworld", "a.log")], LOG_COLUMNS)
    spans = [("t1", "s1", "", "nginx-proxy", "POST /", "/", 5, 7, 200)]
    return dataclasses.replace(observation, logs=logs, traces=typed_table(spans, TRACE_COLUMNS))


def test_what_is_written_is_read_back(tmp_path, full, truth):
    write(tmp_path / "set" / "one", full, truth)
    case = native.read_case(tmp_path / "set" / "one", "set")
    for name in ("metrics", "logs", "traces", "topology"):
        pd.testing.assert_frame_equal(getattr(case.observation, name), getattr(full, name))
    for name in ("inject_time_ns", "sli", "services", "step_ns"):
        assert getattr(case.observation, name) == getattr(full, name)
    assert case.truth == truth
    assert (case.dataset, case.name) == ("set", "one")


def test_the_same_content_has_the_same_digest_under_any_name(tmp_path, full, truth):
    digests = set()
    for name in ("one", "two"):
        write(tmp_path / name, full, truth)
        document = json.loads((tmp_path / name / "injection.json").read_text())
        assert document["case"] == name
        digests.add(native.read_case(tmp_path / name, "set").digest)
    changed = dataclasses.replace(full, services=(*full.services, "other"))
    write(tmp_path / "three", changed, truth)
    digests.add(native.read_case(tmp_path / "three", "set").digest)
    assert len(digests) == 2


def test_the_manifest_lists_window_and_hashes(tmp_path, full, truth):
    environment = tmp_path / "env.json"
    environment.write_text("{}")
    write(
        tmp_path / "one",
        full,
        truth,
        attachments={"environment.json": environment},
        absent=("a_b",),
        quality={"samples_share": 1.0},
    )
    manifest = native.read_manifest(tmp_path / "one")
    assert manifest["start_ns"] == full.metrics["time"].iloc[0]
    assert manifest["end_ns"] == full.metrics["time"].iloc[-1]
    assert manifest["indicators_absent"] == ["a_b"]
    assert manifest["quality"] == {"samples_share": 1.0}
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert set(manifest["files"]) == files - {"case.json"}
    assert "environment.json" in files


def test_a_complete_case_is_complete(tmp_path, full, truth):
    write(tmp_path / "one", full, truth)
    assert native.is_complete(tmp_path / "one")


@pytest.mark.parametrize("name", ["metrics.parquet", "injection.json", "case.json"])
def test_a_missing_file_is_named(tmp_path, full, truth, name):
    write(tmp_path / "one", full, truth)
    (tmp_path / "one" / name).unlink()
    assert not native.is_complete(tmp_path / "one")
    assert name in native.find_problems(tmp_path / "one")[0]


def test_a_changed_file_is_named(tmp_path, full, truth):
    write(tmp_path / "one", full, truth)
    with (tmp_path / "one" / "logs.parquet").open("ab") as file:
        file.write(b" ")
    assert "logs.parquet: differs" in native.find_problems(tmp_path / "one")[0]


def test_a_failed_write_leaves_nothing(tmp_path, full, truth):
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "one", full, truth, quality={"share": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(tmp_path, full, truth):
    (tmp_path / "one").mkdir()
    with pytest.raises(CaseError, match="exists; remove it"):
        write(tmp_path / "one", full, truth)
    assert list((tmp_path / "one").iterdir()) == []


def test_a_target_that_is_no_candidate_is_not_written(tmp_path, full, truth):
    with pytest.raises(CaseError, match="not among the services"):
        write(tmp_path / "one", full, dataclasses.replace(truth, service="x"))
    assert list(tmp_path.iterdir()) == []


def test_a_recording_without_a_fault_can_be_observed_but_not_scored(tmp_path, make_observation):
    write(tmp_path / "calm", make_observation(inject_time_ns=None), None)
    assert read_observation(tmp_path / "calm").inject_time_ns is None
    with pytest.raises(CaseError, match="cannot be scored"):
        native.read_case(tmp_path / "calm", "set")


@pytest.mark.parametrize("name", ["metrics.parquet", "logs.parquet", "case.json", "injection.json"])
def test_a_file_of_garbage_is_named(tmp_path, full, truth, name):
    write(tmp_path / "one", full, truth)
    (tmp_path / "one" / name).write_text("garbage")
    with pytest.raises(CaseError, match=name):
        native.read_case(tmp_path / "one", "set")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 1"),
        ({"active_ns": None}, "never confirmed active"),
        ({"active_ns": "2026-11-23T07:00:00Z"}, "whole UTC epoch nanoseconds"),
        ({"service": ""}, "service must be"),
        ({"service": "other"}, "not among the services"),
        ({"removed_ns": 1}, "out of order"),
    ],
)
def test_a_wrong_injection_is_refused(tmp_path, full, truth, change, message):
    write(tmp_path / "one", full, truth)
    path = tmp_path / "one" / "injection.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CaseError, match=message):
        native.read_case(tmp_path / "one", "set")


def test_hidden_folders_are_no_cases(make_dataset):
    root = make_dataset(2)
    (root / ".partial").mkdir()
    refs = find_cases(root)
    assert [ref.name for ref in refs] == ["cpu-ray-head-0", "cpu-ray-head-1"]
    assert read_case(refs[0]).dataset == "demo"


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(CaseError, match="no case found"):
        find_cases(tmp_path)
    with pytest.raises(CaseError, match="no such folder"):
        find_cases(tmp_path / "none")


@pytest.mark.parametrize("change", [{"step_ns": "1s"}, {"services": "a"}, {"files": []}])
def test_a_wrong_manifest_is_named(tmp_path, full, truth, change):
    write(tmp_path / "one", full, truth)
    path = tmp_path / "one" / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CaseError, match=rf"case\.json: {next(iter(change))} is"):
        native.read_case(tmp_path / "one", "set")


def test_a_manifest_cannot_name_files_elsewhere(tmp_path, full, truth):
    write(tmp_path / "one", full, truth)
    path = tmp_path / "one" / "case.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../secret"] = "0"
    path.write_text(json.dumps(manifest))
    assert "'../secret' is no file name" in native.find_problems(tmp_path / "one")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metrics: metrics.iloc[::-1], "row 1 is not 1000000000 ns after"),
        (lambda metrics: metrics.drop(index=5), "row 5 is not"),
        (lambda metrics: metrics.iloc[:40], "leaves no row before or none after"),
        (lambda metrics: metrics.iloc[40:], "leaves no row before or none after"),
        (lambda metrics: metrics.rename(columns={"ray-head_cpu": "cpu"}), "'cpu' is not named"),
        (lambda metrics: metrics.drop(columns="time"), "first column must be time"),
        (lambda metrics: metrics.astype({"ray-head_cpu": "str"}), "ray-head_cpu is str, expected"),
    ],
)
def test_wrong_metrics_are_named_by_case_and_row(tmp_path, full, truth, change, message):
    write(tmp_path / "one", full, truth)
    change(full.metrics).to_parquet(tmp_path / "one" / "metrics.parquet", index=False)
    with pytest.raises(CaseError, match=message) as error:
        native.read_case(tmp_path / "one", "set")
    assert f"{tmp_path / 'one'}: " in str(error.value)
