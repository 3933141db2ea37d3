"""The direction of imports, and how little the command line loads at its start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rca_benchmark

PACKAGE = Path(rca_benchmark.__file__).parent
MAY_IMPORT = {
    "errors": set(),
    "case": {"errors"},
    "preprocess": {"errors", "case"},
    "causal": {"errors"},
    "walk": {"errors"},
    "templates": set(),
    "movement": set(),
    "features": {"errors", "case", "preprocess", "templates"},
    "methods": {"errors", "case", "preprocess", "features", "causal", "walk"},
    "dataset": {"errors", "case", "templates"},
    "export": {"errors", "case", "movement"},
    "evaluation": {"errors", "case", "dataset", "methods", "preprocess"},
    "validity": {"errors", "case", "movement", "dataset", "evaluation"},
    "report": {"errors", "case", "preprocess", "evaluation", "methods"},
}


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "rca_benchmark" and rest:
                yield rest.split(".")[0]


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_point_downwards(part):
    single = PACKAGE / f"{part}.py"
    files = [single] if single.is_file() else sorted((PACKAGE / part).rglob("*.py"))
    assert files
    found = {name for path in files for name in imported_parts(path)} - {part}
    assert found <= MAY_IMPORT[part]


def test_every_part_has_its_place():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__", "cli", "commands"} == set(MAY_IMPORT)


def test_the_command_line_starts_without_heavy_imports():
    code = "import sys, rca_benchmark.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"pandas", "numpy", "pyarrow", "requests", "rich"} & set(loaded)


def test_methods_are_imported_without_the_libraries_that_few_need():
    code = "import sys, rca_benchmark.methods; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"scipy", "sklearn", "networkx", "statsmodels"} & set(loaded)
