"""What the README says is so."""

import re
import shlex
from pathlib import Path

import pytest

from rca_benchmark.case import EDGE_COLUMNS, LOG_COLUMNS, TRACE_COLUMNS
from rca_benchmark.cli import build_parser
from rca_benchmark.evaluation.results import SCHEMA
from rca_benchmark.export.indicators import read_catalogue
from rca_benchmark.export.nginx import METRICS, SLI
from rca_benchmark.methods import all_methods
from rca_benchmark.report.leaderboard import COLUMNS

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    program, *arguments = shlex.split(line)
    assert program == "rca-benchmark"
    build_parser().parse_args(arguments)


def test_every_command_is_shown():
    shown = {line.split()[1] for line in COMMANDS}
    assert shown == {"export", "evaluate", "report", "dataset", "diagnose", "explain", "methods"}


def test_every_indicator_is_listed():
    for query in read_catalogue("local"):
        row = f"| `{query.metric}` | {query.unit} | `{query.services}` | {query.meaning} |"
        assert row in TEXT
    assert all(f"`{name}`" in TEXT for name in (*METRICS, SLI))


def test_every_column_is_listed():
    columns = (*LOG_COLUMNS, *TRACE_COLUMNS, *EDGE_COLUMNS, *SCHEMA.names, *COLUMNS)
    assert [name for name in columns if f"`{name}`" not in TEXT] == []


def test_every_method_is_listed():
    assert all(f"| `{method.name}` " in TEXT for method in all_methods())
