"""The benchmark of the exporter: its data is what it says, and one small run of it."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("made_up_telemetry")


def test_lines_and_spans_are_as_many_as_asked_for_and_the_same_each_time(made_up):
    lines = list(made_up.log_lines(100))
    assert lines == list(made_up.log_lines(100))
    assert len(lines) == 100
    assert [time for _, time, _ in lines] == sorted(time for _, time, _ in lines)
    assert len(list(made_up.spans(99))) == 99
    parents = {span[2] for span in made_up.spans(99)} - {""}
    assert parents <= {span[1] for span in made_up.spans(99)}


@pytest.mark.slow
def test_a_small_run_prints_every_row():
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("prometheus and promtool are not on PATH")
    sizes = "--series 40 --seconds 60 --single 1 --repeats 1 --lines 400 --spans 300"
    done = subprocess.run(
        [sys.executable, str(FOLDER / "export.py"), *sizes.split()],
        check=True,
        capture_output=True,
        text=True,
    )
    names = "bare|ours|client|one by one|files|Loki and DeepFlow"
    rows = re.findall(rf"^  ({names}) +[\d.]+", done.stdout, re.MULTILINE)
    assert rows == ["bare", "ours", "client", "one by one", "files", "Loki and DeepFlow"]
    ratios = r"ours / bare [\d.]+; client / ours [\d.]+; one by one / ours [\d.]+"
    assert re.search(ratios, done.stdout)
