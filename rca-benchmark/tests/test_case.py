import dataclasses

import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, Case, Injection, service_of, typed_table
from rca_benchmark.errors import CaseError


def test_service_of_is_all_before_the_first_underscore():
    assert service_of("ray-replicas-0_ttft_90") == "ray-replicas-0"


def test_observation_lists_its_indicators(make_observation):
    observation = make_observation(pd.DataFrame({"a_cpu": [1.0, 2.0, 3.0]}), before=1)
    assert observation.indicators == ["a_cpu"]


def test_observation_is_frozen(make_observation):
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_observation().sli = "x"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"cpu": [1.0, 2.0]}, "not named <service>_<metric>"),
        ({"_cpu": [1.0, 2.0]}, "not named <service>_<metric>"),
        ({"a_cpu": [1, 2]}, "expected float64"),
    ],
)
def test_wrong_metric_columns_are_named(make_observation, metrics, message):
    with pytest.raises(CaseError, match=message):
        make_observation(pd.DataFrame(metrics), before=1)


@pytest.mark.parametrize(
    ("times", "row"), [([0, 1, 3, 4], 2), ([0, 1, 1, 2], 2), ([0, 2, 1, 3], 1)]
)
def test_times_off_the_step_are_named_by_row(make_observation, times, row):
    metrics = pd.DataFrame({"time": times, "a_cpu": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(CaseError, match=f"row {row} is not 1 ns after"):
        dataclasses.replace(make_observation(), metrics=metrics, step_ns=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"services": ()}, "no candidate"),
        ({"services": ("a_b",)}, "underscore"),
        ({"services": ("a", "a")}, "twice"),
        ({"sli": "a_latency"}, "not a column"),
        ({"step_ns": 0}, "more than 0"),
        ({"inject_time_ns": 0}, "leaves no row before"),
        ({"inject_time_ns": 2**62}, "none after"),
        ({"logs": pd.DataFrame({"time": [1]})}, "logs: columns"),
        ({"topology": pd.DataFrame({"source": ["a"], "target": ["b"], "kind": ["x"]})}, "kind"),
    ],
)
def test_a_broken_observation_is_refused(make_observation, changes, message):
    with pytest.raises(CaseError, match=message):
        make_observation(**changes)


def test_an_observation_without_a_fault_has_no_inject_time(make_observation):
    assert make_observation(inject_time_ns=None).inject_time_ns is None


def test_injection_times_must_be_in_order():
    with pytest.raises(CaseError, match="out of order"):
        Injection(active_ns=5, requested_ns=6)


def test_the_target_must_be_a_candidate(make_observation, truth):
    with pytest.raises(CaseError, match="not among the services"):
        Case("d", "c", "", make_observation(), dataclasses.replace(truth, service="other"))


def test_typed_table_names_what_is_missing():
    with pytest.raises(CaseError, match="columns missing: time"):
        typed_table(pd.DataFrame({"service": ["a"]}), LOG_COLUMNS)


def test_typed_table_refuses_values_that_do_not_fit():
    with pytest.raises(CaseError, match="does not fit"):
        typed_table([("soon", "a", "", "", "")], LOG_COLUMNS)


def test_an_empty_table_has_all_columns_and_types():
    table = typed_table([], LOG_COLUMNS)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == LOG_COLUMNS
