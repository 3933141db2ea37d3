"""What the README says is so."""

import re
import shlex
from pathlib import Path

import pytest

from rca_benchmark.case import EDGE_COLUMNS, LOG_COLUMNS, TRACE_COLUMNS
from rca_benchmark.cli import build_parser
from rca_benchmark.evaluation.results import SCHEMA
from rca_benchmark.export.endpoint import OPTIONS
from rca_benchmark.export.indicators import PLATFORMS, read_catalogue
from rca_benchmark.export.nginx import METRICS, SLI
from rca_benchmark.export.settings import read_settings
from rca_benchmark.methods import all_methods
from rca_benchmark.report.leaderboard import COLUMNS

FOLDER = Path(__file__).parents[1]
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
EXPORT = (FOLDER / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", TEXT + EXPORT, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    program, *arguments = shlex.split(line)
    assert program == "rca-benchmark"
    build_parser().parse_args(arguments)


def test_every_command_is_shown():
    choices = next(each.choices for each in build_parser()._actions if each.choices)
    assert {line.split()[1] for line in COMMANDS} == set(choices)


def test_every_indicator_is_listed():
    catalogues = {platform: read_catalogue(platform).queries for platform in PLATFORMS}
    for platform, queries in catalogues.items():
        for query in queries:
            row = f"| `{query.metric}` | {query.unit} | `{query.services}` | {query.meaning} |"
            assert f"{row} both |" in EXPORT or f"{row} {platform} |" in EXPORT
    assert all(f"`{name}`" in EXPORT for name in (*METRICS, SLI))


def test_every_option_of_the_export_is_described():
    action = next(each for each in build_parser()._actions if each.choices)
    options = [
        option for each in action.choices["export"]._actions for option in each.option_strings
    ]
    assert len(options) > 15
    missing = [name for name in options if name.startswith("--") and f"`{name}" not in EXPORT]
    shown = {part for line in COMMANDS for part in shlex.split(line) if part.startswith("--")}
    assert set(missing) - shown <= {"--help"}


def test_the_configuration_shown_is_understood(tmp_path):
    [text] = re.findall(r"```yaml\n(.*?)```", EXPORT, re.DOTALL)
    for place in ("token_file", "ca_file"):
        (tmp_path / place).write_text("x")
        text = re.sub(rf"{place}: \S+", f"{place}: {tmp_path / place}", text)
    text = re.sub(r"k8s://\S+", "http://loki:3100", text)
    (tmp_path / "export.yaml").write_text(text)
    settings = read_settings("kubernetes", tmp_path / "export.yaml", {})
    assert set(settings.servers) == {"prometheus", "loki"}
    used = set(re.findall(r"^ {2}(\w+):", text, re.MULTILINE))
    assert OPTIONS | {"url", "selector", "samples", "effect", "clock_skew_s"} <= used | {
        *("username", "password_file", "verify_tls"),
    }


def test_every_column_is_listed():
    columns = (*LOG_COLUMNS, *TRACE_COLUMNS, *EDGE_COLUMNS, *SCHEMA.names, *COLUMNS)
    assert [name for name in columns if f"`{name}`" not in TEXT] == []


def test_every_method_is_listed():
    assert all(f"| `{method.name}` " in TEXT for method in all_methods())
