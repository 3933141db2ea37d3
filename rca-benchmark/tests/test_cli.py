import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from rca_benchmark.cli import main
from rca_benchmark.dataset import find_cases, native, read_case

BASE = 1_795_417_200
SECOND = 1_000_000_000
WINDOW = ["--start", "2026-11-23T07:00:00Z", "--end", f"{(BASE + 120) * SECOND}"]


@pytest.fixture
def stack(tmp_path):
    """What a run of the stack leaves behind: logs, traces, injection, placement, load."""
    proxy = tmp_path / "logs" / "nginx-proxy"
    proxy.mkdir(parents=True)
    lines = []
    for second in range(121):
        slow = 60 <= second < 90
        record = {
            "msec": f"{BASE + second}.000",
            "status": 200,
            "request_time": 2.0 if slow else 0.1 + second % 3 / 100,
            "trace_id": f"{second:032x}",
            "span_id": f"{second:016x}",
            "method": "POST",
            "uri": "/v1/completions",
        }
        lines.append(json.dumps(record))
    (proxy / "access.json").write_text("\n".join(lines) + "\n")
    (tmp_path / "logs" / "ray-head").mkdir()
    (tmp_path / "logs" / "ray-head" / "serve.log").write_text(
        "INFO 2026-11-23 07:00:30,000 replica ready\n"
    )
    span = {
        "traceId": f"{5:032x}",
        "spanId": "ff" * 8,
        "parentSpanId": f"{5:016x}",
        "name": "proxy_http_request",
        "startTimeUnixNano": str((BASE + 5) * SECOND),
        "endTimeUnixNano": str((BASE + 6) * SECOND),
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "ray-head"}}]}
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    (tmp_path / "traces.jsonl").write_text(json.dumps(request) + "\n")
    injection = {
        "schema": 1,
        "case": "x",
        "service": "nginx-proxy",
        "fault": "cpu",
        "indicator": None,
        "parameters": {"workers": 2},
        "requested_ns": (BASE + 59) * SECOND,
        "active_ns": (BASE + 60) * SECOND,
        "removed_ns": (BASE + 90) * SECOND,
        "recovered_ns": (BASE + 91) * SECOND,
        "evidence": {},
    }
    (tmp_path / "injection.json").write_text(json.dumps(injection))
    placement = {
        name: {"address": f"10.0.0.{number}", "node": "here", "node_address": "127.0.0.1"}
        for number, name in enumerate(("nginx-proxy", "ray-head", "ray-replicas-0"))
    }
    (tmp_path / "placement.json").write_text(json.dumps(placement))
    (tmp_path / "environment.json").write_text('{"seed": 1}')
    pd.DataFrame({"request": [1]}).to_parquet(tmp_path / "load.parquet")
    return tmp_path


def export(stack, *options, out="case"):
    return main(["export", "--platform", "local", *WINDOW, *map(str, options),
                 "--out", str(stack / "cases" / out)])  # fmt: skip


def everything(stack):
    return (
        *("--logs", stack / "logs", "--otlp", stack / "traces.jsonl"),
        *("--injection", stack / "injection.json", "--placement", stack / "placement.json"),
        *("--environment", stack / "environment.json", "--requests", stack / "load.parquet"),
    )


def test_export_writes_a_whole_case(stack, capsys):
    assert export(stack, *everything(stack)) == 0
    out, _ = capsys.readouterr()
    assert "SLI moved: yes" in out
    assert "the target's own indicators moved: yes" in out
    assert out.endswith("case accepted\n")
    assert not list((stack / "cases").glob(".*"))
    folder = stack / "cases" / "case"
    assert native.is_complete(folder)
    assert {path.name for path in folder.iterdir()} == {
        *("metrics.parquet", "logs.parquet", "traces.parquet", "topology.parquet"),
        *("requests.parquet", "injection.json", "environment.json", "placement.json"),
        *("templates.parquet", "case.json"),
    }
    case = native.read_case(folder, "cases")
    assert case.truth.service == "nginx-proxy"
    assert case.observation.services == ("nginx-proxy", "ray-head", "ray-replicas-0")
    assert len(case.observation.metrics) == 121
    assert len(case.observation.traces) == 122
    edges = case.observation.topology.to_numpy().tolist()
    assert ["nginx-proxy", "ray-head", "call"] in edges
    assert ["ray-replicas-0", "here", "host"] in edges
    assert json.loads((folder / "injection.json").read_text())["case"] == "case"


@pytest.mark.parametrize(
    ("load", "line"),
    [
        ({"valid": True, "reason": ""}, "the load kept its schedule: yes\n"),
        ({"valid": False, "reason": "p99 late"}, "the load kept its schedule: no (p99 late)\n"),
    ],
)
def test_a_case_says_whether_its_load_was_valid(stack, capsys, load, line):
    path = stack / "load-summary.json"
    path.write_text(json.dumps(load | {"requests": 3}))
    assert export(stack, *everything(stack), "--load-summary", path) == 0
    assert line in capsys.readouterr().out
    quality = native.read_manifest(stack / "cases" / "case")["quality"]
    assert (quality["load"], quality["status"]) == (load, "accepted")


def test_a_case_without_a_summary_says_nothing_of_its_load(stack, capsys):
    assert export(stack, *everything(stack)) == 0
    assert "schedule" not in capsys.readouterr().out
    assert "load" not in native.read_manifest(stack / "cases" / "case")["quality"]


def test_export_from_a_real_prometheus(stack, prometheus_url, capsys):
    options = (*everything(stack), "--prometheus", prometheus_url)
    assert export(stack, *options) == 0
    out, _ = capsys.readouterr()
    assert "indicators absent: " in out
    manifest = native.read_manifest(stack / "cases" / "case")
    # The catalogue's services that the placement knows, whether or not they have samples.
    assert "ray-replicas-0_ttft-90" in manifest["indicators_absent"]
    assert "ray-head_cpu" in manifest["indicators_absent"]
    assert manifest["quality"]["samples"]["ray-head_cpu"]["received"] == 0
    assert manifest["quality"]["status"] == "rejected"
    assert "no indicator of ray-head was received" in out


def test_log_records_have_templates(stack):
    export(stack, *everything(stack))
    logs = pd.read_parquet(stack / "cases" / "case" / "logs.parquet")
    templates = pd.read_parquet(stack / "cases" / "case" / "templates.parquet")
    assert set(logs["template"]) == set(templates["template"])
    assert templates["lines"].sum() == len(logs) == 122


def test_a_rejected_case_is_kept_and_left_out_unless_asked_for(stack, prometheus_url, capsys):
    export(stack, *everything(stack), out="good")
    export(stack, *everything(stack), "--prometheus", prometheus_url, out="poor")
    capsys.readouterr()
    cases = str(stack / "cases")
    for _ in range(2):  # without an index, then with one
        assert main(["dataset", "list", cases]) == 0
        assert capsys.readouterr().out.split() == ["good"]
        assert main(["dataset", "index", cases]) == 0
        assert main(["dataset", "validate", cases]) == 0
        capsys.readouterr()
    assert main(["dataset", "index", cases, "--with-rejected"]) == 0
    assert main(["dataset", "list", cases]) == 0
    assert capsys.readouterr().out.split()[-2:] == ["good", "poor"]
    native.shutil.rmtree(stack / "cases" / "good")
    assert main(["dataset", "index", cases]) == 1
    assert_one_line(capsys, "all 1 cases are rejected")


def test_a_dry_run_lists_what_would_be_asked_and_asks_nothing(stack, capsys):
    options = (*everything(stack), "--prometheus", "http://127.0.0.1:1")
    assert export(stack, *options, "--dry-run") == 0
    out, _ = capsys.readouterr()
    assert "prometheus: http://127.0.0.1:1: cpu: sum by (service) (rate(" in out
    assert f"[{BASE} .. {BASE + 120}, 1 s]" in out
    assert f"logs: {stack}/logs/ray-head/serve.log" in out
    assert "scraping: http://127.0.0.1:1: sum_over_time(up[30s])" in out
    assert not (stack / "cases").exists()


def test_a_second_call_completes_what_the_first_one_could_not(stack, prometheus_url, capsys):
    config = stack / "export.yaml"
    config.write_text(f"prometheus: {{url: {prometheus_url}, attempts: 1}}")
    good = (stack / "traces.jsonl").read_text()
    (stack / "traces.jsonl").write_text("{]\n")
    assert export(stack, *everything(stack), "--config", config) == 1
    assert_one_line(capsys, "1 of 5 back ends failed", "kept in", "prometheus", "same command")
    assert not (stack / "cases" / "case").exists()
    (stack / "traces.jsonl").write_text(good)
    config.write_text(f"prometheus: {{url: {prometheus_url}/, attempts: 2}}")
    assert export(stack, *everything(stack), "--config", config) == 0
    assert "kept from before" in capsys.readouterr().err
    assert {path.name for path in (stack / "cases").iterdir()} == {"case"}


def test_the_layout_of_the_study_is_read_to_the_same_numbers(stack, prometheus_url):
    out = "m-cpu-stress-nginx-proxy/results/qps-1-iteration-1"
    options = (*everything(stack), "--prometheus", prometheus_url)
    assert export(stack, *options) == 0
    assert export(stack, *options, "--layout", "original", out=f"study/{out}") == 0
    assert export(stack, *everything(stack), out="plain") == 0
    ours = native.read_observation(stack / "cases" / "case")
    [ref] = find_cases(stack / "cases" / "study")
    case = read_case(ref)
    theirs = case.observation
    assert (case.truth.service, case.truth.fault) == ("nginx-proxy", "cpu")
    assert theirs.inject_time_ns == ours.inject_time_ns
    assert theirs.metrics["time"].tolist() == ours.metrics["time"].tolist()
    for name, ours_name, scale in (
        ("ray-head_ctn_cpu", "ray-head_cpu", 1),
        ("nginx-proxy_ctn_memory", "nginx-proxy_mem", 1 / 1000),
        ("nginx-proxy_latency-90", "nginx-proxy_latency-90", 1000),
    ):
        np.testing.assert_allclose(theirs.metrics[name], ours.metrics[ours_name] * scale)
    pd.testing.assert_frame_equal(theirs.traces, ours.traces)
    pd.testing.assert_frame_equal(theirs.topology[theirs.topology["kind"] == "call"],
                                  ours.topology[ours.topology["kind"] == "call"])  # fmt: skip
    for name in ("time", "service", "message"):
        assert theirs.logs[name].tolist() == ours.logs[name].tolist()


def test_the_layout_of_the_study_has_all_its_files(stack, prometheus_url):
    options = (*everything(stack), "--prometheus", prometheus_url, "--layout", "original")
    assert export(stack, *options) == 0
    folder = stack / "cases" / "case"
    series = pd.read_csv(folder / "prometheus-metrics.csv")
    assert series.columns[0] == "timestamp"
    assert len(list(series)) == 31
    assert len(pd.read_csv(folder / "deepflow-traces-request-list.csv").columns) == 22
    chaos = json.loads((folder / "apply_result_chaos_anomaly_injection.json").read_text())
    assert chaos["result"]["metadata"]["creationTimestamp"] == "2026-11-23T07:01:00Z"
    results = folder / "rca-collector-results"
    assert {path.name for path in results.iterdir()} == {
        *("data.csv", "mpg.csv", "rca-collector.log"),
        *(f"latency_{kind}_{percentile}.csv"
          for kind in ("source", "destination", "merged", "aggregated") for percentile in (50, 90)),
    }  # fmt: skip
    calls = pd.read_csv(results / "latency_merged_50.csv", index_col=0)
    # One call of 1 s ended at second 6 and is looked back on for 5 s.
    assert calls["nginx-proxy_ray-head"].dropna().tolist() == [1000.0] * 5
    assert calls["nginx-proxy_ray-head"].first_valid_index() == 6
    data = pd.read_csv(results / "data.csv", index_col=0)
    assert data["ray-head_pod_ip"].unique().tolist() == ["10.0.0.1"]


def test_rcaevals_layout_is_one_folder(stack, capsys):
    assert export(stack, *everything(stack), "--layout", "rcaeval", out="nginx-proxy_cpu/1") == 0
    [ref] = find_cases(stack / "cases")
    assert read_case(ref).truth.service == "nginx-proxy"
    names = {path.name for path in (stack / "cases" / "nginx-proxy_cpu" / "1").iterdir()}
    series = {"logts.csv", "tracets_lat.csv", "tracets_err.csv"}
    assert {"data.csv", "inject_time.txt", *series} < names
    assert export(stack, "--logs", stack / "logs", "--layout", "rcaeval") == 1
    assert_one_line(capsys, "--layout rcaeval needs --injection")


def test_exported_cases_are_evaluated_and_diagnosed(stack, capsys):
    for number in range(2):
        export(stack, *everything(stack), out=f"cpu-nginx-{number}")
    out = stack / "results"
    assert main(["evaluate", str(stack / "cases"), "--methods", "baro,random",
                 "--out", str(out)]) == 0  # fmt: skip
    text, _ = capsys.readouterr()
    assert "cases: service level" in text
    assert len(pd.read_csv(out / "leaderboard.csv")) == 8
    assert main(["report", str(out)]) == 0
    assert main(["dataset", "validate", str(stack / "cases")]) == 0
    assert main(["dataset", "describe", str(stack / "cases")]) == 0
    assert main(["diagnose", str(stack / "cases" / "cpu-nginx-0"), "--method", "nsigma"]) == 0
    text, _ = capsys.readouterr()
    assert "2 cases" in text
    assert "nginx-proxy_latency-90" in text


MEASURED = ["seconds", "cpu_seconds", "peak_mb"]


def test_the_same_seed_gives_the_same_results(make_dataset, tmp_path):
    tables = []
    for workers in ("1", "2"):
        out = tmp_path / f"out-{workers}"
        arguments = ["evaluate", str(make_dataset(2, f"set-{workers}")), "--workers", workers]
        assert main([*arguments, "--out", str(out)]) == 0
        tables.append(pq.read_table(out / "results.parquet").drop_columns([*MEASURED, "dataset"]))
    assert tables[0].equals(tables[1])


def test_diagnose_does_not_read_the_truth(make_dataset, capsys):
    folder = make_dataset(1) / "cpu-ray-head-0"
    path = folder / "injection.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"schema": 1, "active_ns": document["active_ns"]}))
    assert main(["diagnose", str(folder)]) == 0
    assert "ray-head" in capsys.readouterr().out


def test_methods_are_listed(capsys):
    assert main(["methods"]) == 0
    text, _ = capsys.readouterr()
    assert all(name in text for name in ("baro", "nsigma", "random"))


def assert_one_line(capsys, *parts):
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("rca-benchmark ")
    assert all(part in line for part in parts), line


def test_a_back_end_that_is_down_leaves_no_case(stack, serve, capsys):
    server = serve(lambda _path: (200, {}))
    server.server_close()
    config = stack / "export.yaml"
    config.write_text(f"prometheus: {{url: {server.url}, attempts: 1}}")
    assert export(stack, *everything(stack), "--config", config) == 1
    assert_one_line(capsys, "back ends failed: prometheus at", server.url, "is it running?")
    assert not (stack / "cases" / "case").exists()
    assert main(["dataset", "list", str(stack / "cases")]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no source of metrics"),
        (("--logs", "/nowhere/logs"), "no such folder of logs"),
        (("--logs", "logs", "--otlp", "none.jsonl"), "none.jsonl: cannot be read"),
        (("--logs", "logs", "--injection", "none.json"), "none.json: cannot be read"),
        (("--logs", "logs", "--placement", "none.json"), "none.json: cannot be read"),
        (("--logs", "logs", "--requests", "none.parquet"), "none.parquet: no such file"),
        (("--logs", "logs", "--load-summary", "none.json"), "none.json: cannot be read"),
        (("--logs", "logs", "--load-summary", "placement.json"), "is no summary of a load"),
    ],
)
def test_export_names_what_is_wrong(stack, monkeypatch, capsys, options, message):
    monkeypatch.chdir(stack)
    assert export(stack, *options) == 1
    assert_one_line(capsys, message)
    assert not (stack / "cases" / "case").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"active_ns": 1, "requested_ns": 1}, "outside the window"),
        ({"service": "other"}, "not in the placement file"),
    ],
)
def test_export_refuses_a_wrong_injection_at_once(stack, capsys, change, message):
    path = stack / "injection.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert export(stack, *everything(stack)) == 1
    assert_one_line(capsys, message)


def test_export_does_not_touch_an_existing_case(stack, capsys):
    (stack / "cases" / "case").mkdir(parents=True)
    assert export(stack, *everything(stack)) == 1
    assert_one_line(capsys, "exists; remove it")


def test_a_bad_case_makes_evaluate_fail_but_not_the_others(make_dataset, tmp_path, capsys):
    root = make_dataset(2)
    (root / "cpu-ray-head-0" / "case.json").unlink()
    assert main(["evaluate", str(root), "--methods", "baro", "--out", str(tmp_path / "out")]) == 1
    assert_one_line(capsys, "cpu-ray-head-0: no case.json")
    table = pq.read_table(tmp_path / "out" / "results.parquet")
    assert table.column("status").to_pylist() == ["error", "ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "none", "--out", "out"], "none: no such folder"),
        (["evaluate", "demo", "demo", "--out", "out"], "same name"),
        (["evaluate", "demo", "--methods", "best", "--out", "out"], "no method best"),
        (["report", "none"], "cannot be read"),
        (["dataset", "validate", "none"], "no such folder"),
        (["diagnose", "none"], "no case.json"),
        (["diagnose", "demo/cpu-ray-head-0", "--method", "best"], "no method best"),
    ],
)
def test_bad_arguments_are_one_line(
    make_dataset, tmp_path, monkeypatch, capsys, arguments, message
):
    make_dataset(1)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert_one_line(capsys, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start", "2026-11-23T07:00:00"], "has no zone"),
        (["--start", "1795417200"], "19 digits"),
        (["--start", "soon"], "soon"),
    ],
)
def test_times_must_be_unambiguous(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(["export", "--platform", "local", *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["export", "evaluate", "report", "dataset", "diagnose"])
def test_help_shows_an_example(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"example:\n  rca-benchmark {command} " in capsys.readouterr().out


def test_the_program_runs_as_a_module():
    command = [sys.executable, "-m", "rca_benchmark.cli", "report", "none"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("rca-benchmark report: none/results.parquet")


def test_a_file_that_is_not_there_is_named_first(tmp_path, capsys):
    absent = tmp_path / "absent.tar.gz"
    assert main(["dataset", "unpack", str(absent), "--out", str(tmp_path / "data")]) == 1
    told = f"rca-benchmark dataset: {absent}: No such file or directory\n"
    assert capsys.readouterr().err == told
    assert list(tmp_path.iterdir()) == []
