import json

import pytest

from rca_benchmark.dataset import find_cases, read_case, read_observation
from rca_benchmark.errors import CaseError

EXPERIMENT = "falcon-h1-7b-gpu-stress-r-0"
DATA = """,time,nginx-proxy_ctn_cpu,nginx-proxy_pod_ip,nginx-proxy_node_cpu,r-0_ctn_gpu,r-0_pod_ip
0,2025-11-01 10:00:00,1,10.0.0.1,.5,,10.0.0.2
1,2025-11-01 10:00:05,2,10.0.0.1,.5,7,10.0.0.2
2,2025-11-01 10:00:10,3,10.0.0.1,.5,8,10.0.0.2
"""
LATENCY = """,time,r-0,nginx-proxy,unknown
0,2025-11-01 10:00:00,30,40,1
1,2025-11-01 10:00:05,31,41,1
2,2025-11-01 10:00:10,32,42,1
"""
GRAPH = ",source,destination\n0,nginx-proxy,r-0\n1,nginx-proxy,192.168.1.5:10250\n"
TRACES = (
    "Response Delay,Client,Server,Server IP,Start Time,Request Resource,Response Code,Trace ID,"
    "Span ID,Parent Span ID,Endpoint\n"
    "1500,a,b,10.0.0.2,2025-11-01T10:00:01.000002,/v1,200,t,s,,POST\n"
    "1500,a,b,10.9.9.9,2025-11-01T10:00:01,/v1,200,t,s,,POST\n"
)
LOGS = [
    {"time": "2025-11-01T10:00:02", "pod": "p", "container": "x", "file": "f", "msg": "later"},
    {"time": "2025-11-01T10:00:01.5", "pod": "p", "container": "x", "file": "f", "msg": "sooner"},
]
CHAOS = {"result": {"metadata": {"creationTimestamp": "2025-11-01T10:00:05Z"}}}
START = 1_761_991_200 * 10**9


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "llm-ref-stack-dp" / EXPERIMENT / "results" / "qps-5-iteration-3"
    results = folder / "rca-collector-results"
    results.mkdir(parents=True)
    (results / "data.csv").write_text(DATA)
    (results / "latency_aggregated_90.csv").write_text(LATENCY)
    (results / "mpg.csv").write_text(GRAPH)
    (folder / "deepflow-traces-request-list.csv").write_text(TRACES)
    (folder / "loki-logs.json").write_text(json.dumps(LOGS))
    (folder / "apply_result_chaos_anomaly_injection.json").write_text(json.dumps(CHAOS))
    return folder


def test_an_iteration_is_a_case(folder):
    [ref] = find_cases(folder.parents[2])
    case = read_case(ref)
    assert case.name == f"{EXPERIMENT}/qps-5-iteration-3"
    assert (case.truth.service, case.truth.fault) == ("r-0", "gpu")
    observation = case.observation
    assert observation.indicators == [
        "nginx-proxy_ctn_cpu",
        "r-0_ctn_gpu",
        "r-0_latency-90",
        "nginx-proxy_latency-90",
    ]
    assert observation.metrics["time"].tolist() == [START, START + 5 * 10**9, START + 10 * 10**9]
    assert observation.inject_time_ns == START + 5 * 10**9
    assert observation.sli == "nginx-proxy_latency-90"
    assert observation.services == ("nginx-proxy", "r-0")


def test_logs_traces_and_graph_are_read(folder):
    observation = read_observation(folder)
    assert observation.logs["message"].tolist() == ["sooner", "later"]
    assert observation.logs["time"].tolist() == [START + 1_500_000_000, START + 2_000_000_000]
    assert observation.traces["serviceName"].tolist() == ["r-0"]
    assert observation.traces["startTime"].tolist() == [START // 1000 + 1_000_002]
    assert observation.topology["kind"].tolist() == ["call", "host"]


def test_requests_that_were_left_out_are_noted(folder):
    case = read_case(find_cases(folder.parents[2])[0])
    assert case.notes == ("traces: 1 requests without trace, service or route left out",)


def test_folders_without_a_fault_are_no_cases(folder):
    (folder.parents[2] / "falcon-h1-7b-baseline" / "results" / "qps-5-iteration-1").mkdir(
        parents=True
    )
    assert len(find_cases(folder.parents[2])) == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rca-collector-results/data.csv", None, "data.csv: cannot be read"),
        ("rca-collector-results/mpg.csv", "a\n1\n", "mpg.csv: columns missing: destination"),
        ("loki-logs.json", "{", "loki-logs.json: cannot be read"),
        ("deepflow-traces-request-list.csv", "a\n1\n", "columns missing: Endpoint"),
        ("apply_result_chaos_anomaly_injection.json", "{}", "no result.metadata"),
        ("rca-collector-results/data.csv", DATA.replace("10:00:05", "soon"), "cannot be read"),
    ],
)
def test_bad_files_are_named(folder, name, text, message):
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    with pytest.raises(CaseError, match=message) as error:
        read_case(find_cases(folder.parents[2])[0])
    assert str(folder) in str(error.value)
