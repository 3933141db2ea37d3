import numpy as np
import pytest

from rca_benchmark.dataset import find_cases, read_case, read_observation
from rca_benchmark.errors import CaseError


@pytest.fixture
def write_legacy(tmp_path):
    def write(text, inject="12", name="data.csv"):
        folder = tmp_path / "legacy" / "carts_cpu" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / "inject_time.txt").write_text(f"{inject}\n")
        return folder

    return write


CSV = "time,carts_cpu,orders_mem,time.1\n10,1,7,10\n11,2,,11\n12,3,9,12\n"


@pytest.mark.parametrize("name", ["data.csv", "simple_metrics.csv", "metrics.csv"])
def test_metrics_and_inject_time_are_read(write_legacy, name):
    root = write_legacy(CSV, name=name).parents[1]
    [ref] = find_cases(root)
    case = read_case(ref)
    metrics = case.observation.metrics
    assert list(metrics) == ["time", "carts_cpu", "orders_mem"]
    assert metrics["time"].tolist() == [10_000_000_000, 11_000_000_000, 12_000_000_000]
    assert np.isnan(metrics["orders_mem"].iloc[1])
    assert case.observation.services == ("carts", "orders")
    assert case.observation.inject_time_ns == 12_000_000_000
    assert (case.name, case.truth.service, case.truth.fault) == ("carts_cpu/1", "carts", "cpu")


def test_missing_rows_become_gaps(write_legacy):
    folder = write_legacy("time,a_x\n10,1\n11,2\n13,4\n", inject="13")
    observation = read_observation(folder)
    assert observation.metrics["a_x"].isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("text", "inject", "message"),
    [
        ("time,a_x\n10,1\n12,2\n15,3\n", "12", "row 2: time is not on the fixed step of 2 s"),
        ("time,a_x\n10,1\n10,2\n11,3\n", "11", "row 1: time does not increase"),
        ("time,a_x\n10,1\n11,much\n12,3\n", "11", "not a number"),
        ("a_x\n1\n2\n", "11", "needs a column time"),
        ("time,a_x,a_x\n10,1,1\n11,2,2\n12,3,3\n", "11", "column a_x occurs twice"),
        ("", "11", "cannot be read"),
        (CSV, "soon", "one whole epoch second"),
        (CSV, "99", "leaves no row before or none after"),
        (CSV.replace("carts_cpu", "cpu"), "12", "not named <service>_<metric>"),
        (CSV.replace("carts_cpu", "cart_cpu"), "12", "not among the services"),
    ],
)
def test_bad_input_is_named_by_file(write_legacy, text, inject, message):
    folder = write_legacy(text, inject)
    [ref] = find_cases(folder.parents[1])
    with pytest.raises(CaseError, match=message) as error:
        read_case(ref)
    assert str(folder) in str(error.value)


LOGS = """time,timestamp,container_name,message,level,extra
11:38,1675078732058205258,orders,"two
lines",info,x
11:38,1675078732054233431,carts,,,x
"""
TRACES = """traceID,spanID,serviceName,methodName,startTime,duration,statusCode,parentSpanID
t,s2,orders,GET,1675078732048076,80,500,s1
t,s1,carts,*,1675078732047000,809795,,
"""


def test_logs_and_traces_are_read_exactly_and_sorted(write_legacy):
    folder = write_legacy(CSV)
    (folder / "logs.csv").write_text(LOGS)
    (folder / "traces.csv").write_text(TRACES)
    observation = read_observation(folder)
    assert observation.logs["time"].tolist() == [1675078732054233431, 1675078732058205258]
    assert observation.logs["message"].tolist() == ["", "two\nlines"]
    assert observation.logs["level"].tolist() == ["", "info"]
    assert observation.traces["spanID"].tolist() == ["s1", "s2"]
    assert observation.traces["parentSpanID"].tolist() == ["", "s1"]
    assert observation.traces["statusCode"].tolist() == [0, 500]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("logs.csv", LOGS.replace("1675078732054233431", "1675078732"), "row 1: timestamp"),
        ("logs.csv", LOGS.replace("container_name", "pod"), "columns missing: container_name"),
        ("traces.csv", TRACES.replace(",80,", ",,"), "row 0: duration"),
        ("traces.csv", TRACES.replace(",500,", ",OK,"), "row 0: statusCode 'OK'"),
        ("traces.csv", TRACES.replace("1675078732047000", "1675078732"), "row 1: startTime"),
        ("logs.csv", "", "No columns to parse"),
    ],
)
def test_bad_events_are_named_by_file_and_row(write_legacy, name, text, message):
    folder = write_legacy(CSV)
    (folder / name).write_text(text)
    with pytest.raises(CaseError, match=message) as error:
        read_observation(folder)
    assert str(folder / name) in str(error.value)


def test_a_graph_beside_the_cases_becomes_call_edges(write_legacy):
    folder = write_legacy(CSV)
    text = ",carts,orders_AWS::X\ncarts,0.0,1.0\norders_AWS::X,0.0,0.0\n"
    (folder.parents[1] / "graph.csv").write_text(text)
    topology = read_observation(folder).topology
    assert topology.to_numpy().tolist() == [["carts", "orders-AWS-X", "call"]]


def test_the_sli_is_the_entry_indicator_of_the_system(write_legacy):
    text = "time,carts_cpu,front-end_cpu,front-end_latency-90\n10,1,1,1\n11,2,2,2\n12,3,3,3\n"
    assert read_observation(write_legacy(text)).sli == "front-end_latency-90"


def test_the_digest_depends_on_every_file(write_legacy):
    folder = write_legacy(CSV)
    digests = set()
    for name, text in (("data.csv", CSV), ("logs.csv", LOGS), ("traces.csv", TRACES)):
        (folder / name).write_text(text)
        digests.add(read_case(find_cases(folder.parents[1])[0]).digest)
    assert len(digests) == 3


def test_irregular_times_are_moved_and_noted(fault_data):
    case = read_case(find_cases(fault_data / "nezha-tt")[0])
    assert case.observation.step_ns == 60_000_000_000
    assert case.notes == ("metrics: 10 of 21 rows moved by at most 1 s to the step of 60 s",)
    assert len(case.observation.logs) == 7476
    assert len(case.observation.traces) == 14388


@pytest.mark.parametrize("name", ["nezha-tt", "petshop-low", "petshop-high", "rcaeval-sample"])
def test_every_real_case_is_read(fault_data, name):
    for ref in find_cases(fault_data / name):
        observation = read_case(ref).observation
        assert observation.sli is not None
        assert observation.topology.empty == (not name.startswith("petshop"))


def test_a_missing_inject_time_is_an_error(write_legacy):
    folder = write_legacy(CSV)
    (folder / "inject_time.txt").unlink()
    [ref] = find_cases(folder.parents[1])
    with pytest.raises(CaseError, match="inject_time"):
        read_case(ref)


def test_real_cases_are_read(fault_data):
    refs = find_cases(fault_data / "rcd-ss")
    assert len(refs) == 20
    case = read_case(refs[0])
    assert len(case.observation.indicators) == 38
    assert len(case.observation.services) == 13
    assert case.observation.step_ns == 1_000_000_000
