import pytest

from rca_benchmark.cli import main
from rca_benchmark.dataset.describe import validate

ACTIONS = ["list", "describe", "validate", "index", "convert", "pack", "unpack"]


def test_a_data_set_goes_round(make_dataset, tmp_path, monkeypatch, capsys):
    make_dataset(2)
    monkeypatch.chdir(tmp_path)
    for line in (
        "convert demo --to rcaeval --out csv",
        "convert csv --to native --licence MIT --version 3 --out native",
        "pack native --out set.tar.gz",
        "unpack set.tar.gz --out again",
        "validate again",
        "index again --name other",
    ):
        assert main(["dataset", *line.split()]) == 0, line
    capsys.readouterr()
    assert main(["dataset", "list", "again"]) == 0
    assert capsys.readouterr().out.splitlines() == ["ray-head_cpu-1", "ray-head_cpu-2"]
    assert main(["dataset", "describe", "native"]) == 0
    assert "native, version 3, licence MIT" in capsys.readouterr().out
    assert validate(tmp_path / "again") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("list none", "no such folder"),
        ("describe none", "no such folder"),
        ("index none", "No such file"),
        ("convert none --to native --out out", "no such folder"),
        ("pack demo --out out", "no dataset.json"),
        ("unpack none --out out", "No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    make_dataset, tmp_path, monkeypatch, capsys, line, message
):
    make_dataset(1)
    monkeypatch.chdir(tmp_path)
    assert main(["dataset", *line.split()]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_every_problem_is_one_line(make_dataset, capsys):
    root = make_dataset(2)
    for number in range(2):
        (root / f"cpu-ray-head-{number}" / "logs.parquet").unlink()
    assert main(["dataset", "validate", str(root)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("logs.parquet: missing" in line for line in lines)


@pytest.mark.parametrize("action", ACTIONS)
def test_help_shows_an_example(capsys, action):
    with pytest.raises(SystemExit, match="0"):
        main(["dataset", action, "--help"])
    assert f"example:\n  rca-benchmark dataset {action} " in capsys.readouterr().out
