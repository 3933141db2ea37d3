"""Methods that read metrics, logs and traces together."""

import numpy as np
import pandas as pd
import pytest

from rca_benchmark.case import LOG_COLUMNS, TRACE_COLUMNS, typed_table
from rca_benchmark.methods import get_method
from rca_benchmark.methods.pdiagnose import metric_anomalies
from rca_benchmark.preprocess import split_windows

NAMES = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")
MANY = ["llm_serving", "mmbaro", "mmnsigma", "pdiagnose", "torai"]


def run(name, observation):
    return get_method(name).function(observation, np.random.default_rng(0))


def quiet_metrics(seed=0, rows=60):
    rng = np.random.default_rng(seed)
    columns = {f"{service}_{metric}": rng.normal(10, 1, rows)
               for service in NAMES for metric in ("cpu", "latency-90")}  # fmt: skip
    return pd.DataFrame(columns)


@pytest.mark.parametrize("name", MANY)
def test_spans_and_lines_find_a_culprit_whose_metrics_are_quiet(
    make_observation, make_traces, make_logs, name
):
    """TORAI may put a caller before it: failures of callees show there, in the same cluster."""
    first = [
        culprit
        in run(
            name,
            make_observation(
                quiet_metrics(seed),
                traces=make_traces(culprit=culprit, seed=seed),
                logs=make_logs(culprit=culprit),
            ),
        ).services[: 2 if name == "torai" else 1]
        for seed in range(5)
        for culprit in ("ray-head", "ray-replicas-1")
    ]
    assert sum(first) >= 8


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("source", ["traces", "logs"])
def test_removing_a_source_takes_what_it_said(
    make_observation, make_traces, make_logs, name, source
):
    telemetry = {"traces": make_traces(), "logs": make_logs()}
    empty = {"traces": typed_table([], TRACE_COLUMNS), "logs": typed_table([], LOG_COLUMNS)}
    loud = {
        "traces": make_traces(culprit="ray-replicas-0"),
        "logs": pd.concat([make_logs(culprit="ray-replicas-0")] * 8, ignore_index=True),
    }
    # The metrics point elsewhere, and the source alone points to ray-replicas-0.
    metrics = quiet_metrics()
    metrics.loc[40:, "nginx-proxy_cpu"] += 4
    said = make_observation(metrics, **(telemetry | {source: loud[source]}))
    silent = make_observation(metrics, **(telemetry | {source: empty[source]}))
    place = [run(name, seen).services.index("ray-replicas-0") for seen in (said, silent)]
    assert place[0] < place[1]


def test_mmbaro_compares_sources_as_they_are(make_observation, make_logs):
    # nginx-proxy_cpu: (20 - 10) / 2 = 5; ray-head writes a line every other second, then two each:
    # (2 - .5) / 1 = 1.5, so the metric wins.
    metrics = quiet_metrics() * 0 + np.tile([9.0, 9, 10, 11, 11], 12)[:, None]
    metrics.loc[45, "nginx-proxy_cpu"] = 20.0
    observation = make_observation(metrics, logs=make_logs(culprit="ray-head"))
    assert run("mmbaro", observation).services[:2] == ("nginx-proxy", "ray-head")
    metrics.loc[45, "nginx-proxy_cpu"] = 12.0
    observation = make_observation(metrics, logs=make_logs(culprit="ray-head"))
    assert run("mmbaro", observation).services[0] == "ray-head"


def test_a_rare_line_does_not_outscore_everything(make_observation):
    start = int(make_observation().metrics["time"].iloc[0])
    line = [(start + 50 * 10**9, "ray-head", "INFO", "hello", "f")]
    metrics = quiet_metrics()
    metrics.loc[40:, "nginx-proxy_cpu"] += 20
    observation = make_observation(metrics, logs=typed_table(line, LOG_COLUMNS))
    assert run("mmbaro", observation).services[0] == "nginx-proxy"
    assert run("mmnsigma", observation).services[0] == "nginx-proxy"


def test_pdiagnose_counts_anomalies_of_all_sources(make_observation):
    """Votes by hand: 3 of a metric, 2 steps with error lines, 4 slow steps of an operation."""
    start = int(make_observation().metrics["time"].iloc[0])
    metrics = pd.DataFrame({f"{name}_cpu": np.tile([9.0, 10, 11, 10, 10], 12) for name in NAMES})
    metrics.loc[[42, 45, 47], "nginx-proxy_cpu"] = 30.0
    lines = [(start + row * 10**9, "ray-head", "INFO", "an error", "f") for row in (50, 50, 51)]
    spans = [
        (str(row), str(row), "", "ray-replicas-0", "get", "get", start // 1000 + row * 10**6,
         100 + row % 3 + (1000 if 52 <= row < 56 else 0), 200)
        for row in range(60)
    ]  # fmt: skip
    observation = make_observation(
        metrics, logs=typed_table(lines, LOG_COLUMNS), traces=typed_table(spans, TRACE_COLUMNS)
    )
    assert run("pdiagnose", observation).services == (
        "ray-replicas-0", "nginx-proxy", "ray-head", "ray-replicas-1",
    )  # fmt: skip


def test_pdiagnose_needs_two_votes_within_ten_steps(make_observation):
    start = int(make_observation().metrics["time"].iloc[0])
    metrics = pd.DataFrame({f"{name}_cpu": np.tile([9.0, 10, 11, 10, 10], 12) for name in NAMES})
    metrics.loc[40, "ray-replicas-1_cpu"] = 30.0
    alone = [(start + row * 10**9, "ray-head", "INFO", "an error", "f") for row in (41, 59)]
    observation = make_observation(metrics, logs=typed_table(alone, LOG_COLUMNS))
    assert run("pdiagnose", observation).services[0] == "nginx-proxy"  # nobody: by name
    close = [(start + row * 10**9, "ray-head", "INFO", "an error", "f") for row in (41, 48)]
    observation = make_observation(metrics, logs=typed_table(close, LOG_COLUMNS))
    assert run("pdiagnose", observation).services[0] == "ray-head"


def test_pdiagnose_does_not_count_what_never_changes(make_observation):
    """The study's code let every constant metric vote with all of its samples."""
    metrics = quiet_metrics()
    metrics["ray-head_gpu"] = 7.0
    metrics["ray-replicas-0_gpu"] = [0.0] * 40 + [5.0] * 20
    windows = split_windows(make_observation(metrics))
    votes = dict(zip(windows.indicators, metric_anomalies(windows).sum(axis=0), strict=True))
    assert "ray-head_gpu" not in votes
    assert votes["ray-replicas-0_gpu"] == 20
    assert votes["nginx-proxy_cpu"] <= 1


def test_torai_orders_clusters_by_severity(make_observation, make_traces, make_logs):
    metrics = quiet_metrics()
    metrics.loc[40:, ["ray-head_cpu", "ray-head_latency-90"]] += 30
    observation = make_observation(metrics, traces=make_traces(), logs=make_logs())
    assert run("torai", observation).services[0] == "ray-head"
