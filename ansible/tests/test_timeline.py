"""The timeline of a run: phases in the order in which they began, over all its executions."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def timeline(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("timeline")


def test_a_resumed_run_appends_to_what_is_there(timeline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    timeline.append(tmp_path, "plan", 1_700_000_000.25)
    timeline.append(tmp_path, "plan", 1_700_000_000.25)  # noted before and after the manifest
    timeline.append(tmp_path, "plan", 1_700_003_600.0)
    assert json.loads((tmp_path / "timeline.json").read_text()) == [
        {"name": "plan", "start": "2023-11-14T22:13:20.250Z"},
        {"name": "plan", "start": "2023-11-14T23:13:20.000Z"},
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "timeline.json"}


def test_a_run_that_has_not_begun_has_no_timeline(timeline: ModuleType, tmp_path: Path) -> None:
    timeline.append(tmp_path / "run", "delete", 1.0)
    assert not (tmp_path / "run").exists()


def test_a_timeline_that_is_none_is_named_and_kept(
    run_program: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").touch()
    (tmp_path / "timeline.json").write_text("[")
    done = run_program("timeline", tmp_path, "plan", 1.5)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}/timeline.json: ")
    assert (tmp_path / "timeline.json").read_text() == "["
