from dataclasses import replace

import pytest

from rca_benchmark.cli import main
from rca_benchmark.errors import BenchError
from rca_benchmark.report.explanation import explain, explanation_page, explanation_table


@pytest.fixture
def broken(make_observation, make_traces, make_logs):
    told = {"culprit": "ray-replicas-1"}
    return make_observation(traces=make_traces(**told), logs=make_logs(**told), **told)


def text_of(table):
    return "\n".join(str(cell) for column in table.columns for cell in column.cells)


def test_the_first_suspect_comes_with_its_evidence(broken):
    explanation = explain(broken, "llm_serving")
    assert explanation.ranking.services[0] == "ray-replicas-1"
    assert explanation.fault_of("ray-replicas-1") == "cpu"
    text = text_of(explanation_table(explanation))
    assert "complains: 20 lines instead of" in text
    assert "of all request time" in text
    found = [item.text for item in explanation.evidence_for("ray-replicas-1")]
    assert any(line.startswith("CPU use rose: cpu ") for line in found)


def test_a_method_without_evidence_shows_its_indicators(broken):
    text = text_of(explanation_table(explain(broken, "baro")))
    assert "ray-replicas-1_cpu: mean " in text
    assert "unknown" in text


def test_a_method_that_is_not_told_the_inject_time_does_not_see_it(broken):
    assert explain(broken, "pc_pagerank").ranking.services


def test_an_unknown_method_is_refused(broken):
    with pytest.raises(BenchError, match="no method"):
        explain(broken, "best")


def test_the_page_stands_alone_and_holds_the_evidence(broken):
    page = explanation_page(explain(broken, "llm_serving"))
    assert "complains: 20 lines" in page
    assert page.count("<svg") == 1
    assert "http" not in page.replace("http://www.w3.org", "")


def test_an_indicator_without_samples_has_no_picture(broken):
    explanation = explain(broken, "constant")
    absent = explanation.ranking.indicators[0]
    metrics = broken.metrics.assign(**{absent: float("nan")})
    page = explanation_page(replace(explanation, observation=replace(broken, metrics=metrics)))
    assert f"<title>{absent}</title>" not in page
    assert page.count("<title>") > 2


def test_the_command_prints_and_writes(make_dataset, tmp_path, capsys):
    case = make_dataset(1) / "cpu-ray-head-0"
    assert main(["explain", str(case), "--html", str(tmp_path / "why.html")]) == 0
    assert "ray-head" in capsys.readouterr().out
    assert "CPU use rose" in (tmp_path / "why.html").read_text()
    assert main(["explain", str(case), "--method", "best"]) == 1
    assert "no method best" in capsys.readouterr().err
