"""Methods of other packages, and how the version of a method is told."""

import importlib
import sys

import pytest

from rca_benchmark.errors import BenchError
from rca_benchmark.methods import all_methods, get_method, registry
from rca_benchmark.methods.version import method_version

METHOD = """
from rca_benchmark.methods import Ranking, method
from toy_helper import FIRST, first

@method(name="toy", sources=("metrics",), paper="none", uses_inject_time=False, stochastic=False,
        extra="neural", needs=("json", "no_such_module"))
def toy(observation, rng):
    return Ranking((first(observation),))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package with an entry point; its modules are forgotten at the end."""
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))

    def write(source, name="toy"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (tmp_path / f"{name}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rca_benchmark.methods]\n{name} = {name}\n")
        monkeypatch.syspath_prepend(tmp_path)
        registry._import_other_packages.cache_clear()

    yield write
    for name in ("toy", "toy_helper"):
        sys.modules.pop(name, None)
    registry._import_other_packages.cache_clear()


HELPER = "FIRST = 0\ndef first(observation):\n    return observation.indicators[FIRST]\n"


def test_another_package_adds_a_method_by_entry_point(install, tmp_path, make_observation):
    (tmp_path / "toy_helper.py").write_text(HELPER)
    install(METHOD)
    assert "toy" in [found.name for found in all_methods()]
    found = get_method("toy")
    assert found.function(make_observation(), None).indicators == ("nginx-proxy_cpu",)
    assert (found.extra, found.missing) == ("neural", ["no_such_module"])


def test_a_package_that_cannot_be_imported_is_named(install):
    install("raise RuntimeError('no licence')")
    with pytest.raises(BenchError, match="package toy cannot be imported: RuntimeError"):
        all_methods()


def test_the_version_changes_with_the_source_and_only_then(install, tmp_path):
    (tmp_path / "toy_helper.py").write_text(HELPER)
    install(METHOD)
    found = get_method("toy")
    before = method_version(found)
    method_version.cache_clear()
    assert method_version(found) == before
    source = tmp_path / "toy.py"
    source.write_text(source.read_text() + "\n# changed\n")
    method_version.cache_clear()
    assert method_version(found) != before


def test_the_version_covers_what_a_method_imports():
    from rca_benchmark.methods.version import _own_modules

    found = _own_modules("rca_benchmark.methods.baro")
    assert found >= {"rca_benchmark.methods.deviation", "rca_benchmark.preprocess"}
    assert importlib.import_module("rca_benchmark.methods.constant").__name__ not in found
