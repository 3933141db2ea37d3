"""The same results over Ray as in processes; skipped where Ray is not installed."""

import importlib.util
import sys

import pytest

from rca_benchmark.dataset import find_cases
from rca_benchmark.errors import BenchError


def test_without_ray_the_extra_is_named(make_plan, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchError, match=r"install rca-llm\[ray\]"):
        run(make_plan(1), ray_address="local")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_table(make_plan, make_dataset, run):
    refs = find_cases(make_dataset(3))
    assert run(make_plan(refs=refs), "ray", ray_address="local") == run(
        make_plan(refs=refs), "here"
    )
