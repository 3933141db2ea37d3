"""The report in a real browser, without a network."""

import os
import re
import shutil
import struct
import subprocess
import zlib

import pytest

from rca_benchmark.case import Case
from rca_benchmark.report.leaderboard import build_leaderboard
from rca_benchmark.report.page import build_page

pytestmark = pytest.mark.slow


@pytest.fixture
def chromium(tmp_path):
    """Run Chromium with no way out of the machine on the report; returns what it prints."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not on PATH")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    profile = f"--user-data-dir={tmp_path / 'profile'}"

    def run(page, *arguments):
        command = [program, *options, offline, profile, *arguments, page.as_uri()]
        environment = os.environ | {"HOME": str(tmp_path)}
        finished = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=120, env=environment
        )
        return finished.stdout

    return run


@pytest.fixture
def page(tmp_path, sweep_results, make_observation, truth):
    case = Case("demo", "c0", "00", make_observation(), truth)
    board = build_leaderboard(sweep_results)
    find = {("demo", "c0"): case}.get
    text = build_page(sweep_results, board, lambda dataset, name: find((dataset, name)))
    path = tmp_path / "report.html"
    path.write_text(text.replace("<details", "<details open"), encoding="utf-8")
    return path


def pixels(path):
    """Rows of an RGB or RGBA image, 8 bits, as Chromium writes it: PNG, undone by hand."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", body[:10])
            assert depth == 8
            deep = {2: 3, 6: 4}[colours]
        packed += body if kind == b"IDAT" else b""
        at += size + 12
    return width, height, deep, zlib.decompress(packed)


def test_the_pictures_are_in_the_page_as_the_browser_sees_it(chromium, page):
    text = chromium(page, "--dump-dom")
    assert len(re.findall("<svg", text)) == 7  # 2 levels, 2 costs, 2 sweeps, 1 case
    assert text.count("<circle") == 12
    assert "parsererror" not in text


def test_the_page_is_drawn(chromium, page, tmp_path):
    picture = tmp_path / "page.png"
    chromium(page, "--window-size=1200,3000", f"--screenshot={picture}")
    width, height, _, rows = pixels(picture)
    assert (width, height) == (1200, 3000)
    # Filtered rows of a blank page are zeros all but the first.
    assert sum(any(row) for row in zip(*[iter(rows)] * 997, strict=False)) > 500


def test_the_page_prints(chromium, page, tmp_path):
    paper = tmp_path / "page.pdf"
    chromium(page, f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF-")
    assert paper.stat().st_size > 20_000
