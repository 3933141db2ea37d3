import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[1] / "evaluate-all.sh"


@pytest.fixture
def run(tmp_path):
    """Run the script where ``rca-benchmark`` is this interpreter's."""
    stub = tmp_path / "bin" / "rca-benchmark"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rca_benchmark.cli "$@"\n')
    stub.chmod(0o755)
    environment = os.environ | {"PATH": f"{stub.parent}:{os.environ['PATH']}"}

    def start(*arguments):
        command = [str(SCRIPT), *map(str, arguments)]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
        )

    return start


def test_help_shows_an_example(run):
    finished = run("--help")
    assert finished.returncode == 0
    assert "example:\n  rca-benchmark/evaluate-all.sh " in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data set given"),
        (["--fast", "cases"], "unknown option --fast"),
        (["cases", "--out"], "--out needs a value"),
        (["cases", "--ray", "auto", "--workers", "2"], "--workers and --ray exclude each other"),
    ],
)
def test_wrong_use_is_one_line(run, arguments, message):
    finished = run(*arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_ray_takes_the_place_of_processes(run, make_dataset):
    finished = run("--ray", "127.0.0.1:1", make_dataset(1))
    assert finished.returncode == 1
    assert "rca-benchmark evaluate: --ray" in finished.stderr  # it is not installed, or not there


@pytest.mark.slow
def test_all_methods_run_on_all_data_sets_and_end_in_the_report(run, make_dataset, tmp_path):
    folders = [make_dataset(1, "one"), make_dataset(1, "two")]
    finished = run("--out", tmp_path / "out", "--workers", "1", *folders)
    assert finished.returncode == 0, finished.stderr
    board = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert set(board["dataset"]) == {"one", "two"}
    assert {"baro", "nsigma", "random"} <= set(board["method"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="chart moved"') == 2


@pytest.mark.slow
def test_what_is_done_is_not_done_again(run, make_dataset, tmp_path):
    arguments = ["--out", tmp_path / "out", "--workers", "1", make_dataset(1)]
    kept = []
    for _ in range(2):
        assert run(*arguments).returncode == 0
        kept.append(pd.read_parquet(tmp_path / "out" / "results.parquet")["seconds"].tolist())
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_an_unreadable_case_is_named_and_the_rest_is_reported(run, make_dataset, tmp_path):
    folder = make_dataset(2)
    (folder / "cpu-ray-head-0" / "metrics.parquet").write_bytes(b"")
    finished = run("--out", tmp_path / "out", "--workers", "1", folder)
    assert finished.returncode == 0, finished.stderr
    assert "metrics.parquet" in finished.stderr
    assert (
        "could not be read and count for no method: 1"
        in (tmp_path / "out" / "report.html").read_text()
    )
