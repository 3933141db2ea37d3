import numpy as np
import pytest

from rca_benchmark.case import Case
from rca_benchmark.report.cases import case_page, movement


@pytest.fixture
def case(make_observation, truth):
    return Case("demo", "cpu/1 x", "00", make_observation(), truth)


@pytest.fixture
def answers():
    ok = {"status": "ok", "services": ["nginx-proxy", "ray-head"], "rank_service": 2}
    bad = {"status": "timeout", "reason": "stopped", "services": None, "rank_service": None}
    common = {"dataset": "demo", "case": "cpu/1 x", "fault": "cpu", "target": "ray-head",
              "candidates": 4, "uses_inject_time": True}  # fmt: skip
    return [common | ok | {"method": "m"}, common | bad | {"method": "n"}]


def texts(node):
    return ["".join(child.itertext()) for child in node]


def test_the_indicators_that_moved_most_come_first(case, answers):
    page = case_page(answers, case)
    panels = [node for node in page.iter("g") if node.get("class") == "culprit"]
    names = [node.findtext("title") for node in page.iter("g")]
    assert set(names[:2]) == {"ray-head_cpu", "ray-head_latency-90"}
    assert len(panels) == 2
    assert len(names) == 8


def test_the_inject_time_is_marked_in_every_panel(case, answers):
    page = case_page(answers, case)
    for panel in page.iter("g"):
        [mark] = [node for node in panel.iter("line") if node.get("class") == "inject"]
        # Row 40 of 60, in a plot from 8 to 228 pixels.
        assert float(mark.get("x1")) == pytest.approx(8 + 40 / 59 * 220, abs=0.01)


def test_the_true_service_is_highlighted_among_the_suspects(case, answers):
    page = case_page(answers, case)
    hits = ["".join(node.itertext()) for node in page.iter("td") if node.get("class") == "hit"]
    assert hits == ["ray-head"]
    first, second = page.find(".//tbody")
    assert texts(first)[:5] == ["m", "yes", "2", "nginx-proxy", "ray-head"]
    assert texts(second) == ["n", "yes", "timeout: stopped"]


def test_a_page_is_collapsed_and_sums_up(case, answers):
    page = case_page(answers, case)
    assert page.get("open") is None
    assert page.get("id") == "demo-cpu/1-x"
    summary = "".join(page.find("summary").itertext())
    assert "cpu on ray-head; named first by 0 of 2 methods; 4 candidates, chance 0.25" in summary


def test_without_telemetry_there_is_no_picture(answers):
    page = case_page(answers, None)
    assert page.find(".//svg") is None
    assert page.find(".//table") is not None


def test_movement_is_in_units_of_the_spread_before():
    # Median 2, MAD 1: the mean of 7 lies 5 / 1.4826 away.
    values, after = np.array([1.0, 2.0, 3.0, 7.0, 7.0]), np.arange(5) >= 3
    assert movement(values, after) == pytest.approx(5 / 1.4826)


@pytest.mark.parametrize(("flat", "moved"), [(0.0, 100), (2.0, 50), (1e6, 1e-4)])
def test_movement_of_a_flat_indicator_is_relative_to_its_range_and_level(flat, moved):
    values, after = np.array([flat, flat, flat, flat + 1]), np.arange(4) >= 3
    assert movement(values, after) == pytest.approx(moved)


@pytest.mark.parametrize("values", [[1.0, 1.0], [np.nan, 1.0], [1.0, np.nan]])
def test_nothing_moves_without_change_or_without_samples(values):
    assert movement(np.array(values), np.array([False, True])) == 0


def test_an_indicator_without_any_sample_is_not_drawn(case, answers):
    case.observation.metrics["ray-head_cpu"] = np.nan
    names = [node.findtext("title") for node in case_page(answers, case).iter("g")]
    assert "ray-head_cpu" not in names
    assert len(names) == 7


def test_long_recordings_are_thinned_without_losing_peaks(make_observation, truth, answers):
    observation = make_observation(before=4000, after=2000)
    observation.metrics.loc[4321, "ray-head_cpu"] = 999.0
    page = case_page(answers, Case("demo", "x", "00", observation, truth))
    [panel] = [node for node in page.iter("g") if node.findtext("title") == "ray-head_cpu"]
    path = panel.find("path").get("d")
    assert path.count("L") < 250
    assert " 24.0" in path  # the top of the plot
