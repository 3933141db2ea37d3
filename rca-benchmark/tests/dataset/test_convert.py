"""Between layouts; with RCAEVAL_PYTHON, RCAEval itself reads what was written."""

import dataclasses
import json
import os
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, Case, typed_table
from rca_benchmark.dataset import find_cases, native, rcaeval, read_case, read_observation
from rca_benchmark.dataset.convert import convert, write_rcaeval
from rca_benchmark.dataset.describe import validate
from rca_benchmark.errors import CaseError

# On Python 3.12 RCAEval skips the methods whose dependencies are missing; elsewhere it does not.
RANK = """
import json, sys
from RCAEval import utility
utility.is_py312 = lambda: True
from RCAEval.e2e import baro
from RCAEval.utility import read_data
for folder in sys.argv[1:]:
    inject = int(open(folder + "/inject_time.txt").read())
    data = read_data(folder + "/data.csv")
    print(json.dumps(baro(data, inject, dataset="rcaeval")["ranks"]))
"""


def to(layout, source, out, **facts):
    facts = {"name": out.name, "version": "1", "licence": "MIT"} | facts
    return convert(source, layout, out, **facts, done=lambda _name: None)


@pytest.fixture
def case(make_observation, truth):
    """A case with gaps, logs and spans."""
    observation = make_observation(sli="nginx-proxy_latency-90")
    observation.metrics.loc[3, "ray-head_cpu"] = np.nan
    logs = [(1_795_417_201_000_000_001, "ray-head", "INFO", 'a "b",\nc', "")]
    spans = [("t1", "s1", "", "nginx-proxy", "POST /", "/", 1_795_417_201_000_001, 7, 200)]
    observation = dataclasses.replace(
        observation,
        logs=typed_table(logs, LOG_COLUMNS),
        traces=typed_table(spans, TRACE_COLUMNS),
    )
    return Case("d", "c", "", observation, truth)


def test_what_rcaeval_gets_is_read_back_in_full(tmp_path, case):
    write_rcaeval(tmp_path / "ray-head_cpu" / "1", case)
    back = rcaeval.read_case(tmp_path / "ray-head_cpu" / "1", "d")
    for name in ("metrics", "logs", "traces"):
        expected = getattr(case.observation, name)
        pd.testing.assert_frame_equal(getattr(back.observation, name), expected, check_exact=True)
    assert back.observation.inject_time_ns == case.observation.inject_time_ns
    assert (back.truth.service, back.truth.fault) == ("ray-head", "cpu")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(allow_infinity=False), min_size=3, max_size=20))
def test_every_number_survives_both_layouts(tmp_path_factory, make_observation, truth, values):
    rows = len(values)
    observation = make_observation(pd.DataFrame({"ray-head_x": values}), before=rows - 1, after=1)
    injection = dataclasses.replace(
        truth.injection,
        active_ns=observation.inject_time_ns,
        requested_ns=None,
        removed_ns=None,
        recovered_ns=None,
    )
    case = Case("d", "c", "", observation, dataclasses.replace(truth, injection=injection))
    folder = tmp_path_factory.mktemp("case")
    write_rcaeval(folder / "ray-head_cpu" / "1", case)
    native.write_case(
        folder / "native", observation, case.truth, attachments={}, absent=(), quality={}
    )
    for path in (folder / "ray-head_cpu" / "1", folder / "native"):
        back = read_observation(path).metrics
        pd.testing.assert_frame_equal(back, observation.metrics, check_exact=True)


def test_the_inject_time_is_rounded_up_so_that_no_row_changes_sides(tmp_path, case):
    injection = dataclasses.replace(case.truth.injection, active_ns=case.truth.injection.active_ns)
    late = dataclasses.replace(injection, active_ns=injection.active_ns + 1)
    truth = dataclasses.replace(case.truth, injection=late)
    write_rcaeval(tmp_path / "ray-head_cpu" / "1", dataclasses.replace(case, truth=truth))
    seconds = int((tmp_path / "ray-head_cpu" / "1" / "inject_time.txt").read_text())
    assert seconds * 10**9 == injection.active_ns + 10**9


def test_a_name_that_rcaeval_would_split_is_refused(tmp_path, case):
    truth = dataclasses.replace(case.truth, fault="network_delay")
    with pytest.raises(CaseError, match="ray-head_network_delay cannot be a folder name"):
        write_rcaeval(tmp_path / "x", dataclasses.replace(case, truth=truth))


def test_steps_below_a_second_are_refused(tmp_path, case):
    shifted = case.observation.metrics.assign(time=case.observation.metrics["time"] + 5)
    observation = dataclasses.replace(case.observation, metrics=shifted)
    with pytest.raises(CaseError, match="not on whole seconds"):
        write_rcaeval(tmp_path / "x", dataclasses.replace(case, observation=observation))


def test_native_becomes_rcaeval_and_native_again(make_dataset, tmp_path):
    source = make_dataset(2)
    assert to("rcaeval", source, tmp_path / "rcaeval") == 2
    assert to("native", tmp_path / "rcaeval", tmp_path / "back", name="back") == 2
    assert validate(tmp_path / "back") == []
    first, second = (read_case(find_cases(root)[0]) for root in (source, tmp_path / "back"))
    pd.testing.assert_frame_equal(first.observation.metrics, second.observation.metrics)
    assert second.dataset == "back"
    assert second.truth.service == "ray-head"


def test_native_to_native_keeps_digests_and_attachments(make_dataset, tmp_path):
    source = make_dataset(1)
    case = source / "cpu-ray-head-0"
    (case / "environment.json").write_text("{}")
    to("native", source, tmp_path / "copy")
    assert (tmp_path / "copy" / case.name / "environment.json").read_text() == "{}"
    digests = {read_case(find_cases(root)[0]).digest for root in (source, tmp_path / "copy")}
    assert len(digests) == 1


def test_notes_of_a_reader_are_recorded(tmp_path):
    folder = tmp_path / "legacy" / "a_cpu" / "1"
    folder.mkdir(parents=True)
    (folder / "data.csv").write_text("time,a_x\n0,1\n59,2\n120,3\n180,4\n")
    (folder / "inject_time.txt").write_text("120")
    to("native", tmp_path / "legacy", tmp_path / "native")
    manifest = json.loads((tmp_path / "native" / "a_cpu-1" / "case.json").read_text())
    [note] = manifest["quality"]["notes"]
    assert note == "metrics: 1 of 4 rows moved by at most 1 s to the step of 60 s"
    assert read_case(find_cases(tmp_path / "native")[0]).notes == (note,)


def test_real_logs_and_traces_survive_the_way_round(fault_data, tmp_path):
    case = read_case(find_cases(fault_data / "nezha-tt")[0])
    write_rcaeval(tmp_path / "ts-basic-service_delay" / "1", case)
    back = read_observation(tmp_path / "ts-basic-service_delay" / "1")
    for name in ("metrics", "logs", "traces"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(case.observation, name))


def test_a_bad_case_leaves_nothing_behind(make_dataset, tmp_path):
    source = make_dataset(2)
    (source / "cpu-ray-head-1" / "metrics.parquet").write_text("x")
    with pytest.raises(CaseError, match="cpu-ray-head-1"):
        to("native", source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_an_existing_folder_is_not_touched(make_dataset, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(CaseError, match="exists"):
        to("native", make_dataset(1), tmp_path / "out")


@pytest.fixture
def rcaeval_ranks():
    """Ask RCAEval's own baro for its ranking of each folder."""
    python = os.environ.get("RCAEVAL_PYTHON")
    if not python:
        pytest.skip("RCAEVAL_PYTHON names no interpreter with RCAEval 1.8.1")

    def ranks(folders):
        command = [python, "-c", RANK, *map(str, folders)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        return [json.loads(line) for line in run.stdout.splitlines()]

    return ranks


def test_rcaeval_ranks_what_was_converted_as_the_original(rcaeval_ranks, fault_data, tmp_path):
    to("native", fault_data / "rcd-ss", tmp_path / "native")
    to("rcaeval", tmp_path / "native", tmp_path / "rcaeval")
    originals = [ref.path for ref in find_cases(fault_data / "rcd-ss")]
    converted = [ref.path for ref in find_cases(tmp_path / "rcaeval")]
    names = [["/".join(path.parts[-2:]) for path in paths] for paths in (originals, converted)]
    assert names[0] == names[1]
    expected = rcaeval_ranks(originals)
    assert len(expected) == 20
    assert rcaeval_ranks(converted) == expected


def test_rcaevals_own_readers_read_what_was_written(rcaeval_ranks, case, tmp_path):
    folder = tmp_path / "ray-head_cpu" / "1"
    write_rcaeval(folder, case)
    code = (
        "import sys; from RCAEval.utility import *\n"
        "print(*(len(read(sys.argv[1])) for read in (read_metrics, read_logs, read_traces)))"
    )
    command = [os.environ["RCAEVAL_PYTHON"], "-c", code, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["60", "1", "1"]
