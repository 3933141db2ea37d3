"""Fixtures of the runner's tests: plans, and a package of methods that others might write."""

import sys

import pytest

from rca_benchmark.dataset import find_cases
from rca_benchmark.evaluation.plan import Limits, Plan
from rca_benchmark.evaluation.runner import evaluate
from rca_benchmark.methods import registry
from rca_benchmark.preprocess import Preparation

MEASURED = ["seconds", "cpu_seconds", "peak_mb"]

HEADER = """
import ctypes, os, time
from pathlib import Path
import numpy as np
from rca_benchmark.methods import Ranking, method

def declare(name):
    return method(
        name=name, sources=("metrics",), paper="none", uses_inject_time=True, stochastic=False
    )
"""


@pytest.fixture
def make_plan(make_dataset):
    """A plan over a new data set of ``count`` cases, or over the given references."""

    def make(count=2, methods=("baro", "nsigma", "random"), refs=None, **options):
        found = refs if refs is not None else find_cases(make_dataset(count))
        settings = {"preparations": (Preparation(),), "limits": Limits(60.0, 2048)} | options
        return Plan(refs=tuple(found), methods=tuple(methods), **settings)

    return make


@pytest.fixture
def run(tmp_path):
    """Run a plan into a folder; the rows without what is measured."""

    def run_plan(plan, name="out", **options):
        return evaluate(plan, tmp_path / name, **options).drop_columns(MEASURED).to_pylist()

    return run_plan


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package ``toy`` with methods: its source, an entry point, on ``sys.path``."""
    site = tmp_path / "site"
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))

    def write(source):
        info = site / "toy-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "toy.py").write_text(HEADER + source)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[rca_benchmark.methods]\ntoy = toy\n")
        monkeypatch.syspath_prepend(site)
        registry._import_other_packages.cache_clear()
        return site

    yield write
    sys.modules.pop("toy", None)
    registry._import_other_packages.cache_clear()
