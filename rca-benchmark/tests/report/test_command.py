import pandas as pd
import pytest

from rca_benchmark.cli import main
from rca_benchmark.evaluation.results import FILE, SCHEMA


@pytest.fixture
def folder(tmp_path, sweep_results):
    """A results folder."""
    sweep_results[SCHEMA.names].to_parquet(tmp_path / FILE)
    return tmp_path


def one_line(capsys):
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_the_leaderboard_is_written_twice_and_printed(folder, capsys):
    assert main(["report", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {FILE, "leaderboard.csv", "leaderboard.md"}
    assert "demo: service level, cases: 6" in capsys.readouterr().out


def test_the_page_is_written_on_request(folder):
    assert main(["report", str(folder), "--html"]) == 0
    assert "left out" in (folder / "report.html").read_text()


def test_the_page_shows_the_cases_of_the_data_sets_given(make_dataset, tmp_path):
    out, cases = tmp_path / "out", str(make_dataset(2))
    assert main(["evaluate", cases, "--methods", "baro,random", "--out", str(out)]) == 0
    assert main(["report", str(out), "--html", "--dataset", cases]) == 0
    text = (out / "report.html").read_text()
    assert text.count('class="chart moved"') == 2
    assert "left out" not in text


def test_the_same_results_give_the_same_files(folder):
    contents = []
    for _ in range(2):
        assert main(["report", str(folder), "--html"]) == 0
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]


def test_missing_results_are_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "results.parquet" in one_line(capsys)


def test_empty_results_are_one_line(folder, capsys):
    pd.read_parquet(folder / FILE).head(0).to_parquet(folder / FILE)
    assert main(["report", str(folder), "--html"]) == 1
    assert "no readable case in the results" in one_line(capsys)
    assert not (folder / "report.html").exists()


def test_a_data_set_that_is_not_there_is_one_line(folder, capsys):
    assert main(["report", str(folder), "--html", "--dataset", str(folder / "none")]) == 1
    assert "no such folder" in one_line(capsys)


def test_data_sets_without_a_page_are_refused(folder, capsys):
    assert main(["report", str(folder), "--dataset", str(folder)]) == 1
    assert "add --html" in one_line(capsys)
