"""The description of the machine: its keys, and what it says where something is not installed."""

import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("environment")


@pytest.fixture
def serve_environment(tmp_path: Path) -> Path:
    """Return a folder that looks like a virtual environment with Ray."""
    for name, version in (("ray", "9.8.7"), ("unrelated", "1.0")):
        folder = tmp_path / "serve/lib/python3.99/site-packages" / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    return tmp_path / "serve"


def test_the_program_prints_the_documented_keys(
    run_program: Run, tmp_path: Path, serve_environment: Path
) -> None:
    settings = {"seed": 3, "load": {"rate": 2}, "text": "ü"}
    options = (f"--repository={tmp_path}", f"--serve-environment={serve_environment}")
    done = run_program("environment", *options, stdin=json.dumps(settings))
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert set(printed) == {
        "schema",
        "machine",
        "versions",
        "git_revision",
        "git_modified",
        "settings",
    }
    assert printed["schema"] == 1
    assert printed["settings"] == settings
    assert set(printed["machine"]) == {"cpu", "cores", "memory_mib", "kernel", "system"}
    assert printed["machine"]["cores"] == os.cpu_count()
    assert printed["machine"]["memory_mib"] > 0
    assert printed["versions"]["python"] == platform.python_version()
    assert printed["versions"]["ray"] == "9.8.7"
    assert {"rca-llm", "pandas", "ansible-core"} <= set(printed["versions"])
    assert "unrelated" not in printed["versions"]


def test_a_folder_without_history_has_no_revision(
    environment: ModuleType, tmp_path: Path, serve_environment: Path
) -> None:
    described = environment.describe(tmp_path, serve_environment)
    assert (described["git_revision"], described["git_modified"]) == (None, None)


def test_no_git_means_no_revision(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda _name: None)
    assert environment.git(tmp_path, "rev-parse", "HEAD") is None


def test_a_change_in_the_working_tree_is_noticed(
    environment: ModuleType, tmp_path: Path, serve_environment: Path
) -> None:
    if not environment.shutil.which("git"):
        pytest.skip("needs git")
    repository = tmp_path / "repository"
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@localhost"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    clean = environment.describe(repository, serve_environment)
    (repository / "new").touch()
    changed = environment.describe(repository, serve_environment)
    assert len(clean["git_revision"]) == 40
    assert changed["git_revision"] == clean["git_revision"]
    assert (clean["git_modified"], changed["git_modified"]) == (False, True)


def test_packages_that_are_known_but_not_installed_are_left_out(
    environment: ModuleType, fake_command: Callable[[str, str], Path]
) -> None:
    fake_command("dpkg-query", "echo 'nginx 1.22.1-9'; echo 'prometheus '; exit 1")
    assert environment.debian_versions() == {"nginx": "1.22.1-9"}


def test_another_system_has_no_debian_packages(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda _name: None)
    assert environment.debian_versions() == {}
