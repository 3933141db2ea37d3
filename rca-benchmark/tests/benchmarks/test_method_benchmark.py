"""The benchmark of the methods: its clock, its case, its sums, and one small run."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_call_is_measured_and_its_preparation_is_not(module):
    def prepare():
        spin(0.05)
        return lambda: spin(0.02)

    result = module("stopwatch").measure(prepare, prepare, 5.0)
    assert 0.02 <= result["seconds"] < 0.05
    assert result["mib"] < 50


def test_memory_is_the_growth_to_the_peak(module):
    result = module("stopwatch").measure(lambda: lambda: bytearray(80 << 20), lambda: int, 5.0)
    assert 75 < result["mib"] < 90


def test_a_call_ends_at_its_limit(module, monkeypatch):
    monkeypatch.setattr(module("stopwatch"), "CHECK_EVERY", 0.02)
    assert module("stopwatch").measure(lambda: lambda: spin(60), lambda: int, 0.1) == {"over": 0.1}


def test_a_crash_is_a_result(module):
    result = module("stopwatch").measure(lambda: lambda: int("x"), lambda: int, 5.0)
    assert result["error"].startswith("ValueError: invalid literal")


def test_a_call_over_its_limit_counts_with_the_limit_and_is_marked(module):
    tables = module("tables")
    rows = [
        tables.Row("a", {"seconds": 0.5, "mib": 1.0}, {"seconds": 2.0}, "", {"absent": True}),
        tables.Row("b", {"seconds": 0.5, "mib": 1.0}, {"over": 60.0}, "", {"absent": True}),
        tables.Row("c", {"seconds": 9.0, "mib": 1.0}, {"error": "no"}, "", {"absent": True}),
        tables.Row("d", {"error": "no"}, {"seconds": 9.0}, "", {"absent": True}),
    ]
    _, first, second, third, fourth, exact, least, *crashes = tables.method_table(
        rows, measured=True
    )
    assert first.split() == ["a", "0.500", "1.0", "2.0", "4.0"]
    assert second.split()[3:] == [">", "60.0", ">", "120"]
    assert third.split()[3:] == ["crashed"]
    assert fourth.split()[1] == "crashed"
    assert exact.split()[-3:] == ["0.500", "2.0", "4.0"]
    assert least.split()[-5:] == ["1.0", ">", "62.0", ">", "62"]
    assert len(crashes) == 2


def test_the_case_is_the_same_each_time_and_has_its_size(module):
    make_case = module("measured_case").make_case
    first, second = make_case(24, 76), make_case(24, 76)
    assert first.metrics.shape == (76, 25)
    assert first.metrics.equals(second.metrics)
    assert first.traces.equals(second.traces)


@pytest.mark.slow
def test_a_small_run_prints_a_table():
    environment = {key: value for key, value in os.environ.items() if key != "RCAEVAL_PYTHON"}
    command = [sys.executable, FOLDER / "methods.py", "--sizes", "8x40", "--methods", "baro"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "8 indicators x 40 rows" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("baro "))
    assert line.endswith("not measured")
    assert "import rca_benchmark.methods" in done.stdout
