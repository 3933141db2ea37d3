import shutil

from rca_benchmark.dataset.describe import describe, validate


def test_describe_counts_cases_and_tables(make_dataset):
    text = "\n".join(describe(make_dataset(3)))
    assert "3 cases" in text
    assert "cpu on ray-head: 3" in text
    assert "indicators: 8 to 8" in text
    assert "SLI: nginx-proxy_latency-90" in text


def test_validate_finds_nothing_in_a_whole_data_set(make_dataset):
    assert validate(make_dataset()) == []


def test_validate_names_each_case_and_file(make_dataset):
    root = make_dataset(3)
    (root / "cpu-ray-head-0" / "logs.parquet").write_bytes(b"x")
    shutil.rmtree(root / "cpu-ray-head-1")
    (root / "cpu-ray-head-1").mkdir()
    problems = validate(root)
    assert len(problems) == 2
    assert "cpu-ray-head-0/logs.parquet" in problems[0]
    assert "cpu-ray-head-1: no case.json" in problems[1]
