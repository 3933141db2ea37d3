import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from rca_benchmark.dataset import LAYOUTS, find_cases, read_case
from rca_benchmark.dataset.archive import pack, unpack
from rca_benchmark.dataset.describe import describe, validate
from rca_benchmark.dataset.index import COLUMNS, read_index, read_manifest, write_index
from rca_benchmark.dataset.native import write_case
from rca_benchmark.errors import CaseError


@pytest.fixture
def root(make_dataset):
    root = make_dataset(3)
    write_index(root, name="llm", version="2", licence="CC-BY-4.0")
    return root


def test_the_manifest_says_what_the_data_set_is(root):
    manifest = read_manifest(root)
    assert manifest["name"] == "llm"
    assert manifest["version"] == "2"
    assert manifest["licence"] == "CC-BY-4.0"
    assert manifest["step_ns"] == [10**9]
    assert manifest["sli"] == ["nginx-proxy_latency-90"]
    assert len(manifest["services"]) == 4
    assert set(manifest["cases"]) == {path.name for path in root.iterdir() if path.is_dir()}


def test_the_index_has_one_row_per_case(root):
    rows = read_index(root)
    assert list(rows.columns) == list(COLUMNS)
    case = read_case(find_cases(root)[1])
    row = rows.iloc[1]
    assert (row["case"], row["digest"]) == (case.name, case.digest)
    assert (row["service"], row["fault"], row["rows"]) == ("ray-head", "cpu", 60)
    assert tuple(row["services"]) == case.observation.services


def test_listing_opens_no_case(root):
    for path in root.glob("*/*"):
        path.unlink()
    refs = find_cases(root)
    assert [ref.name for ref in refs] == [f"cpu-ray-head-{number}" for number in range(3)]
    assert {ref.dataset for ref in refs} == {"llm"}


def test_describing_opens_no_case(root):
    for path in root.glob("*/*"):
        path.unlink()
    text = "\n".join(describe(root))
    assert "llm, version 2, licence CC-BY-4.0" in text
    assert "cpu on ray-head: 3" in text


def test_the_same_cases_give_the_same_files(root):
    files = {path: path.read_bytes() for path in root.iterdir() if path.is_file()}
    write_index(root, name="llm", version="2", licence="CC-BY-4.0")
    assert files == {path: path.read_bytes() for path in files}


def test_a_case_that_came_or_went_is_named(root):
    shutil.copytree(root / "cpu-ray-head-0", root / "new")
    with pytest.raises(CaseError, match="new: not in the index; run: rca-benchmark dataset index"):
        find_cases(root)
    assert any("new: not in dataset.json" in line for line in validate(root))
    shutil.rmtree(root / "new")
    shutil.rmtree(root / "cpu-ray-head-0")
    with pytest.raises(CaseError, match="cpu-ray-head-0: a case of the index is missing"):
        find_cases(root)
    assert any("cpu-ray-head-0: missing" in line for line in validate(root))


def test_a_whole_data_set_has_no_problem(root):
    assert validate(root) == []


def test_a_changed_case_is_named(root):
    path = root / "cpu-ray-head-1" / "case.json"
    path.write_text(path.read_text() + " ")
    assert validate(root) == [f"{path}: differs from its SHA-256 in dataset.json"]


def test_a_changed_index_is_named(root):
    rows = pd.read_parquet(root / "index.parquet")
    rows.loc[1, "path"] = "elsewhere"
    rows.to_parquet(root / "index.parquet")
    problems = validate(root)
    assert "index.parquet: differs" in problems[0]
    assert "index.parquet: row 1: case elsewhere" in problems[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not a data set of schema 1"),
        (json.dumps({"schema": 1, "name": "x"}), "keys missing: cases"),
    ],
)
def test_a_broken_manifest_is_named(root, text, message):
    (root / "dataset.json").write_text(text)
    with pytest.raises(CaseError, match=f"dataset.json: {message}"):
        find_cases(root)
    assert len(validate(root)) == 1


def test_a_folder_without_cases_gets_no_index(tmp_path):
    with pytest.raises(CaseError, match="no native case"):
        write_index(tmp_path, name="x", version="1", licence="x")


def test_the_readme_lists_layouts_columns_and_keys(root):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{layout.NAME}` |" in text for layout in LAYOUTS)
    names = [*COLUMNS, *set(read_manifest(root)) - {"index", "cases"}]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.fixture
def with_control(make_dataset, make_observation):
    root = make_dataset(2)
    write_case(root / "control_1", make_observation(inject_time_ns=None), None,
               attachments={}, absent=(), quality={})  # fmt: skip
    return root


def test_a_control_belongs_to_the_data_set_and_is_not_scored(with_control, tmp_path):
    expected = ["cpu-ray-head-0", "cpu-ray-head-1"]
    assert [ref.name for ref in find_cases(with_control)] == expected
    write_index(with_control, name="llm", version="1", licence="MIT")
    assert [ref.name for ref in find_cases(with_control)] == expected
    assert list(read_manifest(with_control)["controls"]) == ["control_1"]
    assert "1 controls" in "\n".join(describe(with_control))
    assert validate(with_control) == []
    pack(with_control, tmp_path / "packed.tar.gz")
    unpack(tmp_path / "packed.tar.gz", tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "control_1" / "case.json").is_file()
    assert validate(tmp_path / "unpacked") == []


def test_a_control_that_is_damaged_is_found(with_control):
    (with_control / "control_1" / "metrics.parquet").write_bytes(b"no table")
    assert "control_1/metrics.parquet: differs" in validate(with_control)[0]


def test_controls_alone_cannot_be_scored(with_control):
    for path in with_control.glob("cpu-*"):
        shutil.rmtree(path)
    with pytest.raises(CaseError, match="all 1 cases are controls"):
        find_cases(with_control)


def test_a_case_that_lost_its_truth_is_no_control(with_control):
    (with_control / "cpu-ray-head-0" / "injection.json").unlink()
    assert "cpu-ray-head-0" in [ref.name for ref in find_cases(with_control)]
    assert "injection.json: missing" in validate(with_control)[0]
