import dataclasses

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.export.base import Samples
from rca_benchmark.export.quality import effect, movement, quality_record


def test_movement_is_measured_in_robust_standard_deviations():
    found = movement(pd.Series([1.0, 2.0, 3.0, 4.0, 5.0]), pd.Series([9.0, 9.0, np.nan]))
    assert found["before"] == 3
    assert found["during"] == 9
    assert found["z"] == pytest.approx(6 / 1.4826)
    assert found["moved"]


@pytest.mark.parametrize(("during", "moved"), [([1.0, 1.0], False), ([1.1, 1.1], True)])
def test_what_never_varied_has_no_z(during, moved):
    found = movement(pd.Series([1.0, 1.0, 1.0]), pd.Series(during))
    assert found["z"] is None
    assert found["moved"] is moved


def test_without_values_nothing_moved():
    found = movement(pd.Series([1.0, 2.0]), pd.Series([np.nan]))
    assert found == {"before": 1.5, "during": None, "z": None, "moved": False}


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


def test_the_record_adds_up(make_observation, truth):
    observation = make_observation()
    observation.metrics.loc[0:14, "ray-head_cpu"] = np.nan
    samples = {"prometheus": Samples(100, 90), "nginx": Samples(20, 20)}
    record = quality_record(observation, truth, samples, {"spans": 3}, {"a/b": 1.0})
    assert record["samples"]["prometheus"] == {"expected": 100, "received": 90}
    assert record["samples_share"] == pytest.approx(110 / 120)
    assert record["gaps"]["ray-head_cpu"] == 0.25
    assert record["counts"] == {"spans": 3}
    assert record["scrapes_during_fault"] == {"a/b": 1.0}


def test_a_recording_without_a_fault_has_no_effect(make_observation):
    record = quality_record(make_observation(), None, {}, {}, {})
    assert record["effect"] is None
    assert record["samples_share"] is None
