import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export.answers import Answers
from rca_benchmark.export.base import SECOND_NS, Telemetry, Window
from rca_benchmark.export.collect import ask, assemble
from rca_benchmark.export.nginx import AccessLog
from rca_benchmark.export.placement import Placement
from rca_benchmark.export.quality import Bars


@dataclass
class Fixed:
    """A back end that answers with what it was given, or fails."""

    name: str
    telemetry: Telemetry = field(default_factory=Telemetry)
    steps: int = 1
    question: str = "all"
    error: str = ""
    asked: int = 0

    def plan(self, _window):
        return [("here", self.question)]

    def fetch(self, _window, tick):
        self.asked += 1
        if self.error:
            raise ExportError(self.error)
        tick(self.name)
        return self.telemetry


@pytest.fixture
def answers(tmp_path):
    return Answers.beside(tmp_path / "cases" / "case")


@pytest.fixture
def run(window, no_tick, answers):
    def export(*back_ends, placement=None):
        collected = ask([AccessLog(None), *back_ends], window, no_tick, answers)
        place = placement or Placement()
        return assemble(collected, window, placement=place, truth=None, bars=Bars())

    return export


def metrics(window, *names):
    return pd.DataFrame(1.0, index=window.grid(), columns=list(names))


def test_back_ends_are_joined_by_time(window, run):
    first = Fixed("a", Telemetry(metrics=metrics(window, "ray-head_cpu").iloc[::-1]))
    spans = [("t", "2", "1", "ray-head", "", "", 2, 1, 0), ("t", "1", "", "lb", "", "", 1, 1, 0)]
    logs = [(2, "b", "", "", ""), (1, "a", "", "", "")]
    second = Fixed(
        "b",
        Telemetry(logs=typed_table(logs, LOG_COLUMNS), traces=typed_table(spans, TRACE_COLUMNS)),
    )
    observation = run(first, second).observation
    assert observation.metrics["time"].tolist() == window.grid().tolist()
    assert (observation.metrics["ray-head_cpu"] == 1).all()
    assert observation.logs["time"].tolist() == [1, 2]
    assert observation.logs["service"].tolist() == ["a", "b"]
    assert observation.traces["startTime"].tolist() == [1, 2]
    assert observation.topology.to_numpy().tolist() == [["lb", "ray-head", "call"]]
    assert observation.services == ("nginx-proxy", "ray-head")
    assert observation.sli == "nginx-proxy_latency-90"


def test_a_span_that_deepflow_was_sent_a_copy_of_counts_once(run):
    written = [("t", "1", "", "ray-head", "otlp", "", 1, 1, 0)]
    # The copy; a capture that carries its caller's identity; one that no file has.
    captured = [("t", "1", "", "ray-head", "", "", 1, 1, 0), ("t", "1", "", "lb", "", "", 2, 1, 0)]
    captured += [("t", "2", "", "ray-head", "", "", 3, 1, 0)]
    files = Fixed("otlp", Telemetry(traces=typed_table(written, TRACE_COLUMNS)))
    deepflow = Fixed("deepflow", Telemetry(traces=typed_table(captured, TRACE_COLUMNS)))
    recording = run(files, deepflow)
    traces = recording.observation.traces
    assert traces["startTime"].tolist() == [1, 2, 3]
    assert traces["methodName"].tolist() == ["otlp", "", ""]
    assert recording.quality["counts"]["deepflow_spans_that_are_in_files"] == 1


def test_absent_indicators_are_listed(run):
    assert "nginx-proxy_latency-90" in run().absent


def test_an_indicator_of_no_number_was_received_and_is_not_absent(window, run):
    table = metrics(window, "a_cpu") * np.nan
    recording = run(Fixed("a", Telemetry(metrics=table, received={"a_cpu": 61})))
    assert "a_cpu" not in recording.absent
    assert recording.quality["gaps"]["a_cpu"] == 1


def test_the_placement_names_the_candidates(run):
    placement = Placement({"x": {"node": "n"}, "y": {"node": "n"}})
    assert run(placement=placement).observation.services == ("x", "y")


def test_one_indicator_from_two_back_ends_is_refused(window, run):
    telemetry = Telemetry(metrics=metrics(window, "a_cpu"))
    with pytest.raises(ExportError, match="two back ends deliver a_cpu"):
        run(Fixed("a", telemetry), Fixed("b", telemetry))


def test_figures_of_all_back_ends_are_kept(window, run):
    part = Telemetry(
        metrics=metrics(window, "a_cpu"),
        received={"a_cpu": 60},
        counts={"things": 7},
        clock_skew_s={"a": 0.5},
        scrapes={"job/a": 1.0},
        problems=("odd",),
        calls=(("a", "b"),),
        extras={"more": [1]},
    )
    recording = run(Fixed("p", part))
    quality = recording.quality
    assert quality["samples"]["a_cpu"] == {"expected": 61, "received": 60}
    assert quality["counts"]["things"] == 7
    assert quality["clock_skew_s"] == {"a": 0.5}
    assert quality["scrapes_during_fault"] == {"job/a": 1.0}
    assert "odd" in quality["reasons"]
    assert ["a", "b", "call"] in recording.observation.topology.to_numpy().tolist()
    assert recording.extras == {"more": [1]}


def test_secrets_are_masked_and_counted(run):
    logs = typed_table([(1, "a", "", "login with password=hunter2", "")], LOG_COLUMNS)
    recording = run(Fixed("l", Telemetry(logs=logs)))
    assert recording.observation.logs["message"].tolist() == ["login with password=***"]
    assert recording.quality["counts"]["log_messages_with_secrets_masked"] == 1


def test_what_others_answered_is_kept_when_one_fails(window, run, answers):
    good = Fixed("good", Telemetry(metrics=metrics(window, "a_cpu")))
    bad, worse = Fixed("bad", error="bad is down"), Fixed("worse", error="worse is down")
    with pytest.raises(ExportError, match=r"2 of 4 back ends failed: bad is down; worse is down"):
        run(good, bad, worse)
    assert answers.folder.is_dir()
    bad.error = worse.error = ""
    recording = run(good, bad, worse)
    assert (good.asked, bad.asked, worse.asked) == (1, 2, 2)
    assert (recording.observation.metrics["a_cpu"] == 1).all()


def test_an_answer_to_another_question_is_not_taken(window, run):
    first = Fixed("a", Telemetry(metrics=metrics(window, "a_cpu")))
    run(first)
    second = Fixed("a", Telemetry(metrics=metrics(window, "b_cpu")), question="other")
    assert "b_cpu" in run(second).observation.metrics
    assert second.asked == 1


def test_a_kept_answer_is_the_answer(window, no_tick, answers):
    spans = [("t", "2", "1", "ray-head", "", "", 2, 1, 0)]
    logs = [(2, "b", "INFO", "text", "f")]
    answer = Telemetry(
        metrics=metrics(window, "a_cpu"),
        logs=typed_table(logs, LOG_COLUMNS),
        traces=typed_table(spans, TRACE_COLUMNS),
        received={"a_cpu": 61},
        counts={"n": 1},
        clock_skew_s={"x": 0.1},
        scrapes={"t": 0.9},
        calls=(("a", "b"),),
        problems=("p",),
        extras={"table": pd.DataFrame({"x": [1]}), "list": [{"y": 2}]},
    )
    answers.save("a", window, [("w", "q")], answer)
    kept = answers.load("a", window, [("w", "q")])
    for kind in ("logs", "traces"):
        kept_events = answers.events("a", window, [("w", "q")], kind)
        assert kept_events.equals(getattr(answer, kind))
    for each in dataclasses.fields(Telemetry):
        was, now = getattr(answer, each.name), getattr(kept, each.name)
        if each.name == "extras":
            assert now["table"].equals(was["table"])
            assert now["list"] == was["list"]
        elif each.name in ("logs", "traces"):
            assert now.empty
        elif isinstance(was, pd.DataFrame):
            pd.testing.assert_frame_equal(was, now, check_names=False)
        else:
            assert was == now
    answers.remove()
    assert answers.load("a", window, [("w", "q")]) is None


def test_half_an_answer_is_none(window, answers, monkeypatch):
    monkeypatch.setattr("json.dumps", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        answers.save("a", window, [], Telemetry())
    monkeypatch.undo()
    assert answers.load("a", window, []) is None


def test_a_window_covers_whole_steps_inside_it():
    window = Window(SECOND_NS // 2, 3 * SECOND_NS + 1)
    assert window.grid().tolist() == [SECOND_NS, 2 * SECOND_NS, 3 * SECOND_NS]
    assert window.holds(SECOND_NS // 2)
    assert not window.holds(0)


@pytest.mark.parametrize("end", [0, SECOND_NS - 1, -5 * SECOND_NS])
def test_a_window_too_short_is_refused(end):
    with pytest.raises(ExportError, match="fewer than two steps"):
        Window(0, end)


def test_infinite_samples_survive_the_join(window, run):
    table = metrics(window, "a_cpu")
    table.iloc[0] = np.inf
    assert np.isinf(run(Fixed("a", Telemetry(metrics=table))).observation.metrics["a_cpu"][0])
