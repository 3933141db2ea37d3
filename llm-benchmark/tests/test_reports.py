from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from llm_benchmark.cli import main
from llm_benchmark.errors import OptionError
from llm_benchmark.histogram import Histogram
from llm_benchmark.reports.charts import Chart, Line, draw
from llm_benchmark.reports.run_page import write_report
from llm_benchmark.reports.timeline import Bins, Requests, in_flight, read_requests

if TYPE_CHECKING:
    from pathlib import Path


def run(url: str, out: Path, *more: str) -> Path:
    arguments = ["run", "--url", url, "--provider", "vllm", "--rate", "100", "--duration", "1s"]
    arguments += ["--output-tokens", "3", "--out", str(out)]
    main([*arguments, *(more if "--model" in more else ("--model", "stub", *more))])
    return out


def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def drawings(text: str) -> list[ET.Element]:
    found = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    return [ET.fromstring(svg) for svg in found]  # noqa: S314 our own


def test_the_page_of_a_run_shows_all_there_is_and_needs_nothing_else(
    stub_url: str, tmp_path: Path
) -> None:
    text = page(run(stub_url, tmp_path, "--warmup", "200ms"))
    for heading in (
        "Milliseconds",
        "Rate asked for and achieved",
        "Requests in flight",
        "Time to first token",
        "Time between tokens, mean of a request",
        "End to end",
        "Schedule delay",
        "Distributions",
        "Errors",
        "Options",
    ):
        assert f"<h2>{heading}</h2>" in text
    assert ">valid<" in text
    assert len(drawings(text)) == 7
    for svg in drawings(text):
        assert svg.get("role") == "img"
        assert "no data" not in (svg.get("aria-label") or "")
    outside = re.findall(r"(?:src|href|url)\s*[=(]", text)
    assert not outside
    assert len(text) < 1_000_000


def test_a_run_without_any_answer_has_a_page(stub_url: str, tmp_path: Path) -> None:
    text = page(run(stub_url, tmp_path, "--model", "stub:http-503"))
    assert "http_503" in text
    labels = [svg.get("aria-label") or "" for svg in drawings(text)]
    assert sum("no data" in label for label in labels) == 4


def test_what_a_server_says_is_shown_as_text(stub_url: str, tmp_path: Path) -> None:
    text = page(run(stub_url, tmp_path, "--model", "<script>alert(1)</script>"))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; does not exist" in text


def test_a_page_can_be_written_again(stub_url: str, tmp_path: Path) -> None:
    before = page(run(stub_url, tmp_path))
    (tmp_path / "report.html").unlink()
    assert write_report(tmp_path) == tmp_path / "report.html"
    assert page(tmp_path) == before


def test_failed_answers_and_the_warm_up_are_in_no_distribution(
    stub_url: str, tmp_path: Path
) -> None:
    folder = run(stub_url, tmp_path, "--model", "stub:malformed", "--warmup", "500ms")
    window = json.loads((folder / "load-summary.json").read_text())["window"]
    failed = read_requests(folder, window)
    assert failed.gaps.count == 0
    assert np.isnan(failed.per_token_ms(failed.events)).all()
    run(stub_url, folder, "--warmup", "500ms")
    window = json.loads((folder / "load-summary.json").read_text())["window"]
    healthy = read_requests(folder, window)
    assert healthy.inside.sum() == 50
    assert healthy.gaps.count == 50 * 2


def test_requests_in_flight_are_the_most_in_each_stretch() -> None:
    instants = {"sent_ns": np.array([0.1, 0.2, 1.5]), "end_ns": np.array([0.3, 1.2, 1.6])}
    nothing = np.zeros(3)
    requests = Requests(instants, nothing, nothing, nothing > 0, nothing, Histogram(), {})
    assert in_flight(requests, Bins(np.arange(4.0))) == [2, 1, 0]


@pytest.mark.parametrize("content", ["[]", "{}", '{"window": {}}', "oops"])
def test_a_damaged_summary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "load-summary.json").write_text(content)
    with pytest.raises(OptionError, match=r"no readable load-summary\.json"):
        write_report(tmp_path)


def test_damaged_records_are_refused(stub_url: str, tmp_path: Path) -> None:
    path = run(stub_url, tmp_path) / "requests.parquet"
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[4:half] = bytes(half - 4)
    path.write_bytes(data)
    with pytest.raises(OptionError, match=r"no readable requests\.parquet"):
        write_report(tmp_path)


def test_quantiles_of_bins_are_those_of_their_values() -> None:
    rng = np.random.default_rng(1)
    instants, values = rng.uniform(0, 10, 2000), rng.exponential(5, 2000)
    values[:50] = np.nan
    bins = Bins.over(10)
    [median, high] = bins.quantiles(instants, values, (0.5, 0.99))
    for start, found, top in zip(bins.starts, median, high, strict=True):
        inside = values[(instants >= start) & (instants < start + 1) & np.isfinite(values)]
        assert found == np.quantile(inside, 0.5, method="inverted_cdf")
        assert top == np.quantile(inside, 0.99, method="inverted_cdf")
    assert bins.quantiles(np.array([0.5]), np.array([3.0]), (0.5,)) == [[3.0, *[None] * 9]]


@pytest.mark.parametrize("seconds", [0.3, 1, 59, 60 * 60, 24 * 3600, 30 * 24 * 3600])
def test_bins_cover_the_run_and_are_not_too_many(seconds: float) -> None:
    bins = Bins.over(seconds)
    assert bins.edges[0] == 0
    assert bins.edges[-1] >= seconds
    assert len(bins.starts) <= 201


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"log_x": True},
        {"stacked": True},
        {"steps": True, "shaded": [(0.0, 1.0)]},
        {"lines": []},
        {"lines": [Line("alone", [2.0], [0.0])]},
        {"lines": [Line("<&>", [1.0, 2.0, 3.0], [1.0, None, 2.0], low=[0.5, None, 1.0])]},
    ],
)
def test_every_chart_is_well_formed_and_stays_inside_its_frame(changes: dict[str, Any]) -> None:
    lines = [
        Line("a", [1.0, 10.0, 500.0], [3.0, 1.0, 2.0]),
        Line("b", [1.0, 10.0, 500.0], [0.0] * 3),
    ]
    chart = Chart(**{"title": "t", "x_name": "s", "y_name": "ms", "lines": lines} | changes)
    svg = ET.fromstring(draw(chart))  # noqa: S314 our own
    places = re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", ET.tostring(svg, encoding="unicode"))
    assert all(0 <= float(x) <= 720 and 0 <= float(y) <= 230 for x, y in places)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_the_page_without_complaint(stub_url: str, tmp_path: Path) -> None:
    run(stub_url, tmp_path / "run")
    shown = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"),
            f"file://{tmp_path}/run/report.html",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert shown.stdout.count("<svg") == 7
    assert "CONSOLE" not in shown.stderr


def test_the_page_of_a_sweep_shows_its_steps(stub_url: str, tmp_path: Path) -> None:
    command = ["sweep", "--url", stub_url, "--provider", "vllm", "--model", "stub", "--min-rate"]
    command += ["20", "--max-rate", "40", "--step-duration", "300ms", "--slo", "ttft=500ms"]
    main([*command, "--out", str(tmp_path)])
    text = (tmp_path / "sweep.html").read_text()
    assert "40 requests/s pass" in text
    assert len(drawings(text)) == 4
    steps = json.loads((tmp_path / "sweep.json").read_text())["steps"]
    assert [step["passed"] for step in steps] == [True, True]
