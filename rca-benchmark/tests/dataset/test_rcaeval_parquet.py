import pandas as pd
import pytest

from rca_benchmark.dataset import find_cases, read_case, read_observation
from rca_benchmark.errors import CaseError

NAME = "re2ob_carts_cpu_1"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "RE2" / NAME
    folder.mkdir(parents=True)
    times = [10, 11, 12]
    metrics = pd.DataFrame({"time": times, "carts_cpu": [1.0, None, 3.0], "orders_mem": times})
    metrics.to_parquet(folder / "metrics.parquet")
    logs = {"timestamp": [10**18], "container_name": ["carts"], "message": ["hi"], "level": [None]}
    pd.DataFrame(logs).to_parquet(folder / "logs.parquet")
    spans = {"traceID": ["t"], "spanID": ["s"], "serviceName": ["carts"], "startTime": [10**15]}
    pd.DataFrame(spans | {"duration": [7]}).to_parquet(folder / "traces.parquet")
    (folder / "inject_time.txt").write_text("11\n")
    return tmp_path / "RE2"


def write_index(root, **changes):
    row = {"case": NAME, "root_cause_service": "orders", "fault": "mem", "dataset": "RE2-OB"}
    pd.DataFrame([row | changes]).to_parquet(root / "cases.parquet")


def test_a_case_is_read_with_logs_and_traces(root):
    [ref] = find_cases(root)
    case = read_case(ref)
    assert case.name == NAME
    assert case.observation.metrics["carts_cpu"].isna().tolist() == [False, True, False]
    assert case.observation.logs["message"].tolist() == ["hi"]
    assert case.observation.traces["duration"].tolist() == [7]
    assert read_observation(root / NAME).inject_time_ns == 11 * 10**9


def test_the_index_says_what_is_true_and_else_the_name(root):
    [ref] = find_cases(root)
    assert (read_case(ref).truth.service, read_case(ref).truth.fault) == ("carts", "cpu")
    write_index(root)
    assert (read_case(ref).truth.service, read_case(ref).truth.fault) == ("orders", "mem")


def test_a_case_that_the_index_lacks_is_an_error(root):
    write_index(root, case="other")
    with pytest.raises(CaseError, match=r"cases.parquet: 0 rows for case re2ob_carts_cpu_1"):
        read_case(find_cases(root)[0])


def test_a_target_without_metrics_is_an_error(root):
    write_index(root, root_cause_service="nobody")
    with pytest.raises(CaseError, match=f"{NAME}.*nobody is not among the services"):
        read_case(find_cases(root)[0])


def test_a_name_that_says_nothing_is_an_error(root):
    (root / NAME).rename(root / "case-1")
    with pytest.raises(CaseError, match=r"no cases.parquet beside it"):
        read_case(find_cases(root)[0])


@pytest.mark.parametrize("name", ["metrics.parquet", "logs.parquet"])
def test_garbage_is_named(root, name):
    (root / NAME / name).write_text("garbage")
    with pytest.raises(CaseError, match=name):
        read_observation(root / NAME)
