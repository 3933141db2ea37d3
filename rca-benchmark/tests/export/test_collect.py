from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.errors import ExportError
from rca_benchmark.export import collect
from rca_benchmark.export.base import SECOND_NS, Samples, Telemetry, Window
from rca_benchmark.export.nginx import AccessLog


@dataclass
class Fixed:
    """A back end that answers with what it was given."""

    name: str
    telemetry: Telemetry
    steps: int = 1

    def fetch(self, _window, tick):
        tick(self.name)
        return self.telemetry


def run(window, *back_ends, placement=None, truth=None):
    return collect(
        [AccessLog(None), *back_ends],
        window,
        lambda _label: None,
        placement=placement or {},
        truth=truth,
        scrapes={},
    )


def metrics(window, *names):
    return pd.DataFrame(1.0, index=window.grid(), columns=list(names))


def test_back_ends_are_joined_by_time(window):
    first = Fixed("a", Telemetry(metrics=metrics(window, "ray-head_cpu").iloc[::-1]))
    spans = [("t", "2", "1", "ray-head", "", "", 2, 1, 0), ("t", "1", "", "lb", "", "", 1, 1, 0)]
    logs = [(2, "b", "", "", ""), (1, "a", "", "", "")]
    second = Fixed(
        "b",
        Telemetry(logs=typed_table(logs, LOG_COLUMNS), traces=typed_table(spans, TRACE_COLUMNS)),
    )
    recording = run(window, first, second)
    observation = recording.observation
    assert observation.metrics["time"].tolist() == window.grid().tolist()
    assert (observation.metrics["ray-head_cpu"] == 1).all()
    assert observation.logs["time"].tolist() == [1, 2]
    assert observation.traces["startTime"].tolist() == [1, 2]
    assert observation.topology.to_numpy().tolist() == [["lb", "ray-head", "call"]]
    assert observation.services == ("nginx-proxy", "ray-head")
    assert observation.sli == "nginx-proxy_latency-90"


def test_absent_indicators_are_listed(window):
    assert "nginx-proxy_latency-90" in run(window).absent


def test_the_placement_names_the_candidates(window):
    placement = {"x": {"node": "n"}, "y": {"node": "n"}}
    assert run(window, placement=placement).observation.services == ("x", "y")


def test_one_indicator_from_two_back_ends_is_refused(window):
    telemetry = Telemetry(metrics=metrics(window, "a_cpu"))
    with pytest.raises(ExportError, match="two back ends deliver a_cpu"):
        run(window, Fixed("a", telemetry), Fixed("b", telemetry))


def test_figures_of_all_back_ends_are_kept(window):
    part = Fixed("p", Telemetry(samples=Samples(4, 3), counts={"things": 7}))
    quality = run(window, part).quality
    assert quality["samples"]["p"] == {"expected": 4, "received": 3}
    assert quality["counts"]["things"] == 7


def test_a_window_covers_whole_steps_inside_it():
    window = Window(SECOND_NS // 2, 3 * SECOND_NS + 1)
    assert window.grid().tolist() == [SECOND_NS, 2 * SECOND_NS, 3 * SECOND_NS]
    assert window.holds(SECOND_NS // 2)
    assert not window.holds(0)


@pytest.mark.parametrize("end", [0, SECOND_NS - 1, -5 * SECOND_NS])
def test_a_window_too_short_is_refused(end):
    with pytest.raises(ExportError, match="fewer than two steps"):
        Window(0, end)


def test_infinite_samples_survive_the_join(window):
    table = metrics(window, "a_cpu")
    table.iloc[0] = np.inf
    assert np.isinf(
        run(window, Fixed("a", Telemetry(metrics=table))).observation.metrics["a_cpu"][0]
    )
