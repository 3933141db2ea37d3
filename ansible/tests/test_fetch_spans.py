"""The collector's files, as a real nginx with the role's own configuration hands them out."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType

import pytest
import requests
import yaml

TEMPLATE = (
    Path(__file__).resolve().parents[1] / "roles/opentelemetry/templates/objects/files.yaml.j2"
)
START_S, END_S = 1_767_225_600, 1_767_225_700  # 2026-01-01T00:00:00Z
NS = 1_000_000_000


@pytest.fixture
def fetch_spans(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("fetch_spans")


@pytest.fixture
def served(
    tmp_path: Path, free_port: int, wait_for: Callable[[Callable[[], object]], None]
) -> Iterator[tuple[Path, str]]:
    """A folder of spans, and where it is handed out."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("needs nginx")
    text = re.sub(r"\{\{.*?\}\}", "x", TEMPLATE.read_text())
    _, settings, _ = yaml.safe_load_all(text)
    configuration = settings["data"]["nginx.conf"]
    folder = tmp_path / "served"
    (folder / "spans").mkdir(parents=True)
    for old, new in (
        (" /tmp", f" {folder}"),
        ("root /spans", f"root {folder}/spans"),
        ("listen 8080", f"listen 127.0.0.1:{free_port}"),
    ):
        assert old in configuration
        configuration = configuration.replace(old, new)
    own = (
        f"error_log {folder}/error.log;\nuser root;\n"  # folders of tests are for their owner only
    )
    (folder / "nginx.conf").write_text(own + configuration)
    command = [nginx, "-g", "daemon off;", "-c", str(folder / "nginx.conf")]
    url = f"http://127.0.0.1:{free_port}"

    def answers() -> bool:
        try:
            return requests.get(url, timeout=1).ok
        except requests.RequestException:
            return False

    with subprocess.Popen(command) as process:
        try:
            wait_for(answers)
            yield folder / "spans", url
        finally:
            process.terminate()


def put(folder: Path, name: str, last_s: float) -> None:
    """A file whose only line names it, last written to at an instant."""
    (folder / name).write_text(json.dumps({"resourceSpans": [], "of": name}) + "\n")
    os.utime(folder / name, (last_s, last_s))


Run = Callable[..., subprocess.CompletedProcess[str]]


def fetched(run_program: Run, url: str, out: Path) -> subprocess.CompletedProcess[str]:
    where = (f"--files={url}", f"--out={out}")
    return run_program("fetch_spans", *where, f"--start={START_S * NS}", f"--end={END_S * NS}")


def test_files_that_were_turned_over_within_the_window_come_too(
    served: tuple[Path, str], run_program: Run, tmp_path: Path
) -> None:
    folder, url = served
    put(folder, "spans-2025-12-31T00-00-00.000.jsonl", START_S - 86_400)
    put(folder, "spans-2026-01-01T00-00-50.000.jsonl", START_S + 50)
    put(folder, "spans-2026-01-01T00-05-00.000.jsonl", END_S + 200)
    put(folder, "spans-2026-01-01T01-00-00.000.jsonl", END_S + 3600)
    put(folder, "spans.jsonl", END_S + 7200)
    out = tmp_path / "case" / "spans"
    done = fetched(run_program, url, out)
    assert done.returncode == 0, done.stderr
    names = [f"spans-2026-01-01T{at}.000.jsonl" for at in ("00-00-50", "00-05-00", "01-00-00")]
    assert done.stdout.splitlines() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        assert (out / name).read_bytes() == (folder / name).read_bytes()


def test_what_was_fetched_before_is_replaced(
    served: tuple[Path, str], run_program: Run, tmp_path: Path
) -> None:
    folder, url = served
    put(folder, "spans.jsonl", END_S)
    (tmp_path / "spans").mkdir()
    (tmp_path / "spans" / "old.jsonl").write_text("")
    assert fetched(run_program, url, tmp_path / "spans").returncode == 0
    assert [path.name for path in (tmp_path / "spans").iterdir()] == ["spans.jsonl"]


@pytest.mark.parametrize("names", [[], ["spans.jsonl"]])
def test_a_window_without_spans_is_an_error(
    served: tuple[Path, str], run_program: Run, tmp_path: Path, names: list[str]
) -> None:
    folder, url = served
    for name in names:
        put(folder, name, START_S - 3600)
    done = fetched(run_program, url, tmp_path / "spans")
    reason = f"{url}: none of {len(names)} files has spans of the window; does the collector run"
    assert done.returncode == 3
    assert done.stderr.startswith(reason)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "spans").exists()


def test_a_server_that_is_not_there_is_named(
    run_program: Run, tmp_path: Path, free_port: int
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    done = fetched(run_program, url, tmp_path / "spans")
    assert done.returncode == 1
    assert done.stderr.startswith(f"spans at {url}: query 'the list of files' failed 4 times")
    assert not (tmp_path / "spans").exists()


def test_a_file_that_was_turned_over_meanwhile_is_noticed(
    served: tuple[Path, str], fetch_spans: ModuleType, tmp_path: Path
) -> None:
    folder, url = served
    put(folder, "spans.jsonl", END_S)
    endpoint = fetch_spans.resolve("spans", url)
    with fetch_spans.new_session(endpoint) as session:
        (item,) = session.get(url, timeout=5).json()
        assert parsedate_to_datetime(item["mtime"]).timestamp() == END_S
        (folder / "spans.jsonl").write_text("")
        with pytest.raises(fetch_spans.ExportError, match="a new file was begun meanwhile"):
            fetch_spans.fetch(session, endpoint, item, tmp_path / "spans.jsonl")


def test_a_file_that_is_gone_is_named(
    served: tuple[Path, str], fetch_spans: ModuleType, tmp_path: Path
) -> None:
    _, url = served
    endpoint = fetch_spans.resolve("spans", url)
    with fetch_spans.new_session(endpoint) as session:
        item = {"name": "spans.jsonl", "size": 1}
        with pytest.raises(fetch_spans.ExportError, match=r"spans\.jsonl: cannot be fetched: 404"):
            fetch_spans.fetch(session, endpoint, item, tmp_path / "spans.jsonl")
