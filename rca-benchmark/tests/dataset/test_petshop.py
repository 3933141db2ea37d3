import json

import pytest

from rca_benchmark.dataset import find_cases, read_case, read_observation
from rca_benchmark.errors import CaseError

HEADER = """microservice,PetSite,PetSite,A_AWS::X,A_AWS::X
metric,latency,availability,latency,requests
statistic,p90,Average,Average,Sum
unix_timestamp,,,,
"""
NORMAL = HEADER + "1000.0,1,100,2,5\n1300.0,1,99.5,2,\n"
ISSUE = HEADER + "9000.0,4,90,8,5\n9300.0,4,90,8,5\n"
GRAPH = ",PetSite,A_AWS::X\nPetSite,0.0,1.0\nA_AWS::X,0.0,0.0\n"
TARGET = {
    "target": {"node": "PetSite", "metric": "latency", "agg": "Average", "timestamp": 9010},
    "root_cause": {"node": "A_AWS::X", "metric": None},
}


@pytest.fixture
def issue(tmp_path):
    scenario = tmp_path / "dataset" / "low_traffic"
    issue = scenario / "train" / "issue_0"
    issue.mkdir(parents=True)
    (scenario / "noissue").mkdir()
    (scenario / "noissue" / "metrics.csv").write_text(NORMAL)
    (scenario / "graph.csv").write_text(GRAPH)
    (issue / "metrics.csv").write_text(ISSUE)
    (issue / "target.json").write_text(json.dumps(TARGET))
    return issue


@pytest.mark.parametrize("level", [1, 2])
def test_one_scenario_or_all_are_a_data_set(issue, level):
    [ref] = find_cases(issue.parents[level])
    assert ref.name == "low_traffic/train/issue_0"


def test_an_issue_follows_the_fault_free_rows(issue):
    case = read_case(find_cases(issue.parents[1])[0])
    metrics = case.observation.metrics
    assert (metrics["time"] // 10**9).tolist() == [8400, 8700, 9000, 9300]
    assert metrics["PetSite_error"].tolist() == [0, 0.5, 10, 10]
    assert metrics["A-AWS-X_latency-avg"].tolist() == [2, 2, 8, 8]
    assert metrics["A-AWS-X_requests"].isna().tolist() == [False, True, False, False]
    assert case.observation.inject_time_ns == 9000 * 10**9
    assert case.observation.sli == "PetSite_latency-90"
    assert case.observation.topology.to_numpy().tolist() == [["PetSite", "A-AWS-X", "call"]]
    assert (case.truth.service, case.truth.fault) == ("A-AWS-X", "latency")
    assert case.notes == ("metrics: fault-free rows moved by 7400 s to end 300 s before the issue",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train/issue_0/metrics.csv", ISSUE.replace("p90", "p42"), "latency p42 of PetSite"),
        ("train/issue_0/metrics.csv", HEADER, "needs rows"),
        ("train/issue_0/target.json", "{}", "names no root cause"),
        ("noissue/metrics.csv", "", r"metrics.csv: cannot be read"),
        ("graph.csv", ",a\nb,0\n", "rows and columns name different nodes"),
    ],
)
def test_bad_files_are_named(issue, name, text, message):
    (issue.parents[1] / name).write_text(text)
    with pytest.raises(CaseError, match=message):
        read_case(find_cases(issue.parents[1])[0])


def test_an_observation_does_not_need_the_target(issue):
    expected = read_observation(issue).metrics
    (issue / "target.json").write_text("{}")
    assert read_observation(issue).metrics.equals(expected)
