import dataclasses

import numpy as np
import pytest

from rca_benchmark.errors import ExportError
from rca_benchmark.export.quality import Bars, Bookkeeping, effect, quality_record


def test_the_effect_looks_at_the_fault_only(make_observation, truth):
    observation = make_observation(sli="nginx-proxy_latency-90")
    found = effect(observation, truth)
    assert not found["sli_moved"]
    assert found["service_moved"]
    assert set(found["service"]) == {"ray-head_cpu", "ray-head_latency-90"}
    assert found["service"]["ray-head_cpu"]["z"] > 10


def test_a_fault_that_was_never_removed_lasts_to_the_end(make_observation, truth):
    injection = dataclasses.replace(truth.injection, removed_ns=None, recovered_ns=None)
    found = effect(make_observation(), dataclasses.replace(truth, injection=injection))
    assert found["service_moved"]
    assert found["sli"] is None


def record_of(observation, truth, bars=None, *, received=None, **facts):
    rows = len(observation.metrics)
    full = dict.fromkeys(observation.indicators, rows) | (received or {})
    return quality_record(observation, truth, Bookkeeping(full, **facts), bars or Bars())


def test_the_record_adds_up(make_observation, truth):
    observation = make_observation()
    observation.metrics.loc[0:14, "ray-head_cpu"] = np.nan
    facts = {"counts": {"spans": 3}, "scrapes": {"a/b": 1.0}, "clock_skew_s": {"loki": 0.1}}
    record = record_of(observation, truth, received={"nginx-proxy_cpu": 30}, **facts)
    assert record["samples"]["nginx-proxy_cpu"] == {"expected": 60, "received": 30}
    # Six of the eight indicators count: those of the target may go missing because of the fault.
    assert record["samples_share"] == pytest.approx((5 * 60 + 30) / (6 * 60))
    assert record["gaps"]["ray-head_cpu"] == 0.25
    assert record["counts"] == {"spans": 3}
    assert record["scrapes_during_fault"] == {"a/b": 1.0}
    assert record["clock_skew_s"] == {"loki": 0.1}


def test_a_good_case_is_accepted(make_observation, truth):
    record = record_of(make_observation(), truth)
    assert (record["status"], record["reasons"]) == ("accepted", [])


def test_a_recording_without_a_fault_has_no_effect(make_observation):
    record = record_of(make_observation(), None)
    assert record["effect"] is None
    assert record["status"] == "accepted"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"received": {"nginx-proxy_cpu": 20}}, "88.9% of the samples were received"),
        (
            {"received": {"nginx-proxy_cpu": 0, "nginx-proxy_latency-90": 0}},
            "no indicator of nginx-proxy was received",
        ),
        ({"clock_skew_s": {"loki": -1.5}}, "the clock of loki is off by -1.5 s"),
        ({"problems": ("job x is slow",)}, "job x is slow"),
    ],
)
def test_a_case_below_a_bar_is_rejected_with_the_reason(make_observation, truth, changes, reason):
    record = record_of(make_observation(), truth, **changes)
    assert record["status"] == "rejected"
    assert any(line.startswith(reason) for line in record["reasons"]), record["reasons"]


def test_what_the_target_lost_is_no_reason(make_observation, truth):
    record = record_of(make_observation(), truth, received={"ray-head_cpu": 10})
    assert record["status"] == "accepted"


def test_an_indicator_that_does_not_exist_is_not_missed(make_observation, truth):
    record = record_of(make_observation(), truth, received={"nginx-proxy_cpu": 0})
    assert record["status"] == "accepted"
    assert record["samples_share"] == 1


def test_a_fault_without_effect_is_rejected(make_observation, truth):
    calm = make_observation(culprit="nobody", sli="nginx-proxy_latency-90")
    record = record_of(calm, truth)
    assert record["reasons"] == [
        "no evidence of effect: neither the SLI nor an indicator of the target moved"
    ]
    assert record_of(calm, truth, Bars(effect="none"))["status"] == "accepted"


@pytest.mark.parametrize(
    ("effect", "status"),
    [("any", "accepted"), ("service", "accepted"), ("sli", "rejected"), ("both", "rejected")],
)
def test_what_must_move_can_be_chosen(make_observation, truth, effect, status):
    observation = make_observation(sli="nginx-proxy_latency-90")  # only the target moves
    assert record_of(observation, truth, Bars(effect=effect))["status"] == status


def test_a_fault_whose_end_was_not_confirmed_is_rejected(make_observation, truth):
    injection = dataclasses.replace(truth.injection, recovered_ns=None)
    record = record_of(make_observation(), dataclasses.replace(truth, injection=injection))
    assert record["reasons"] == ["the end of the fault was never confirmed"]


@pytest.mark.parametrize(
    "values", [{"samples": 1.5}, {"effect": "some"}, {"clock_skew_s": -1}, {"samples": -0.1}]
)
def test_bars_out_of_range_are_refused(values):
    with pytest.raises(ExportError, match=f"quality: {next(iter(values))} is"):
        Bars(**values)
