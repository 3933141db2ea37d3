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
