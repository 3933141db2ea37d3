"""The folder of one iteration as the study's own tools wrote and read it (``--layout original``).

Names, columns and units are theirs; what was wrong in the numbers is right here (README, "The
layout of the study"). Times are UTC texts without a zone, as their readers expect.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pandas as pd

from rca_benchmark.errors import ExportError
from rca_benchmark.export.base import SECOND_NS
from rca_benchmark.export.deepflow import REQUEST_COLUMNS
from rca_benchmark.export.topology import parent_rows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from rca_benchmark.case import GroundTruth, Observation
    from rca_benchmark.export.collect import Recording
    from rca_benchmark.export.placement import Placement

RESULTS: Final = "rca-collector-results"
PERCENTILES: Final = (50, 90)
_KUBELET_PORT: Final = 10250
_REQUEST_LIST: Final = {
    "Response Delay": "response_duration",
    "Client": "auto_instance_0",
    "Server": "auto_instance_1",
    "Client IP": "ip_0",
    "Server IP": "ip_1",
    "Start Time": "start_us",
    "End Time": "end_us",
    "Data Type": "capture_nic_type",
    "Protocol": "l7_protocol",
    "Request Type": "request_type",
    "Request Domain": "request_domain",
    "Request Resource": "request_resource",
    "Status": "response_status",
    "Response Code": "response_code",
    "Response Exception": "response_exception",
    "X-Request-ID": "x_request_id_0",
    "Trace ID": "trace_id",
    "Span ID": "span_id",
    "Parent Span ID": "parent_span_id",
    "Server Port": "server_port",
    "Endpoint": "endpoint",
    "Database ID": "id",
}


def write_original(
    folder: Path,
    recording: Recording,
    placement: Placement,
    truth: GroundTruth | None,
    window_s: int,
) -> None:
    """Write the files of one iteration into an empty folder.

    Args:
        folder: to be filled.
        recording: the telemetry, with the study's own series among its extras where there is a
            Prometheus.
        placement: pod, address and node of each service.
        truth: the injection, if there was one.
        window_s: how far latencies of calls look back, in seconds.

    Raises:
        ExportError: the placement record lacks an address.
    """
    _check(placement)
    observation, extras = recording.observation, recording.extras
    (folder / RESULTS).mkdir()
    if "original-series" in extras:
        _metrics(extras["original-series"]).to_csv(folder / "prometheus-metrics.csv", index=False)
    _write_logs(folder / "loki-logs.json", observation.logs)
    requests = extras.get("deepflow_requests")
    if requests is None:
        requests = _requests(observation.traces, placement)
    _request_list(requests).to_csv(folder / "deepflow-traces-request-list.csv", index=False)
    if "deepflow_traces" in extras:
        _write_traces(folder / "deepflow-traces-trace-list.json", extras["deepflow_traces"])
    if truth is not None:
        _write_injection(folder / "apply_result_chaos_anomaly_injection.json", truth)
    results = folder / RESULTS
    _data(observation, placement).to_csv(results / "data.csv")
    _edges(observation, placement).to_csv(results / "mpg.csv")
    for percentile in PERCENTILES:
        calls = _call_latency(observation, percentile, window_s)
        for kind in ("source", "destination", "merged"):
            calls.to_csv(results / f"latency_{kind}_{percentile}.csv")
        own = _service_latency(observation, percentile)
        own.to_csv(results / f"latency_aggregated_{percentile}.csv")


def _check(placement: Placement) -> None:
    if not placement:
        raise ExportError("--layout original needs --placement")
    for service, place in placement.places.items():
        for key in ("address", "node_address"):
            if not place.get(key):
                raise ExportError(
                    f"--layout original: the placement record has no {key} of {service}"
                )


def _data(observation: Observation, placement: Placement) -> pd.DataFrame:
    """``data.csv``: per service its container, pod and node."""
    metrics = observation.metrics
    rows = len(metrics)

    def column(name: str, scale: float = 1) -> NDArray[np.float64]:
        if name not in metrics.columns:
            return np.full(rows, np.nan)
        return metrics[name].to_numpy() * scale

    columns: dict[str, Any] = {"time": _clock(metrics["time"])}
    for service in observation.services:
        place = placement.places[service]
        node = place["node"]
        network = column(f"{service}_network-receive") + column(f"{service}_network-transmit")
        columns |= {
            f"{service}_ctn_cpu": column(f"{service}_cpu"),
            f"{service}_ctn_network": network / 1000,
            f"{service}_ctn_memory": column(f"{service}_mem", 1 / 1000),
            f"{service}_ctn_gpu": column(f"{service}_gpu", 100),
            f"{service}_pod_name": place.get("pod", service),
            f"{service}_pod_ip": place["address"],
            f"{service}_node_name": node,
            f"{service}_node_ip": place["node_address"],
            f"{service}_node_cpu": column(f"{node}_cpu"),
            f"{service}_node_network": column(f"{node}_network-transmit", 1 / 1000),
            f"{service}_node_memory": column(f"{node}_mem"),
        }
    return pd.DataFrame(columns)


def _service_latency(observation: Observation, percentile: int) -> pd.DataFrame:
    """Each service's own latency in ms; nothing is added up over callers."""
    metrics = observation.metrics
    table = pd.DataFrame({"time": _clock(metrics["time"])})
    for service in observation.services:
        name = f"{service}_latency-{percentile}"
        if name in metrics.columns:
            table[service] = metrics[name] * 1000
    return table


def _call_latency(observation: Observation, percentile: int, window_s: int) -> pd.DataFrame:
    """Latency in ms of the calls between each pair of services, over the last ``window_s``."""
    times, traces = observation.metrics["time"], observation.traces
    table = pd.DataFrame({"time": _clock(times)})
    parents = parent_rows(traces)
    services = traces["serviceName"].to_numpy()
    callers = np.where(parents >= 0, services[parents], "")
    calls = pd.DataFrame(
        {
            "pair": pd.Series(callers, dtype="str") + "_" + traces["serviceName"],
            "end_ns": (traces["startTime"] + traces["duration"]) * 1000,
            "ms": traces["duration"] / 1000,
        }
    )[(callers != "") & (callers != services)].sort_values("end_ns")
    for pair, spans in calls.groupby("pair", sort=True):
        ends, ms = spans["end_ns"].to_numpy(), spans["ms"].to_numpy()
        first = np.searchsorted(ends, times - window_s * SECOND_NS, side="right")
        last = np.searchsorted(ends, times, side="right")
        values = np.full(len(times), np.nan)
        for row in np.flatnonzero(last > first):
            values[row] = np.percentile(ms[first[row] : last[row]], percentile)
        table[str(pair)] = values
    return table


def _edges(observation: Observation, placement: Placement) -> pd.DataFrame:
    """``mpg.csv``: calls, and from each service to its node's kubelet."""
    calls = observation.topology[observation.topology["kind"] == "call"]
    pairs = set(zip(calls["source"], calls["target"], strict=True))
    pairs |= {
        (service, f"{place['node_address']}:{_KUBELET_PORT}")
        for service, place in placement.places.items()
    }
    return pd.DataFrame(sorted(pairs), columns=["source", "destination"])


def _metrics(series: pd.DataFrame) -> pd.DataFrame:
    """``prometheus-metrics.csv``: every name in every run, empty where there is no value."""
    table = series.rename(columns={"time": "timestamp"})
    return table.assign(timestamp=_iso(series["time"] // 1000))


def _requests(traces: pd.DataFrame, placement: Placement) -> pd.DataFrame:
    """Spans as DeepFlow's requests, for a stack without DeepFlow."""
    addresses = {service: place["address"] for service, place in placement.places.items()}
    known = {
        "response_duration": traces["duration"],
        "auto_instance_1": traces["serviceName"],
        "ip_1": traces["serviceName"].map(addresses),
        "start_us": traces["startTime"],
        "end_us": traces["startTime"] + traces["duration"],
        "request_resource": traces["operationName"],
        "response_code": traces["statusCode"],
        "trace_id": traces["traceID"],
        "span_id": traces["spanID"],
        "parent_span_id": traces["parentSpanID"],
        "endpoint": traces["methodName"],
    }
    return pd.DataFrame({name: known.get(name, "") for name in REQUEST_COLUMNS}, index=traces.index)


def _request_list(requests: pd.DataFrame) -> pd.DataFrame:
    """``deepflow-traces-request-list.csv``: 22 columns, delays in µs."""
    either = requests["x_request_id_0"].where(
        requests["x_request_id_0"] != "", requests["x_request_id_1"]
    )
    filled = requests.assign(
        x_request_id_0=either,
        start_us=_iso(requests["start_us"]),
        end_us=_iso(requests["end_us"]),
    )
    return pd.DataFrame({title: filled[name] for title, name in _REQUEST_LIST.items()})


def _write_logs(path: Path, logs: pd.DataFrame) -> None:
    """A list of objects, one per line of the file, by time. Nanoseconds stay."""
    times = pd.to_datetime(logs["time"], unit="ns").dt.strftime("%Y-%m-%dT%H:%M:%S.")
    rest = (logs["time"] % SECOND_NS).astype("str").str.zfill(9)
    rows = zip(times + rest, logs["service"], logs["source"], logs["message"], strict=True)
    with path.open("wb") as file:
        file.write(b"[")
        for number, (time, service, source, message) in enumerate(rows):
            record = {
                "time": time,
                "pod": source.partition("/")[0] if "/" in source else service,
                "container": service,
                "file": source,
                "msg": message,
            }
            file.write((b",\n" if number else b"\n") + orjson.dumps(record))
        file.write(b"\n]\n")


def _write_traces(path: Path, traces: list[dict[str, Any]]) -> None:
    """Only traces whose request has an identity, as theirs."""
    kept = [
        {"x_request_id": trace["x_request_id"], "tracing": trace["tracing"]}
        for trace in traces
        if trace["x_request_id"]
    ]
    path.write_text(json.dumps(kept, indent=4), encoding="utf-8")


def _write_injection(path: Path, truth: GroundTruth) -> None:
    """Chaos Mesh's answer, as far as it is read: the inject time, up to the whole second."""
    second = -(-truth.injection.active_ns // SECOND_NS)
    created = f"{pd.Timestamp(second, unit='s'):%Y-%m-%dT%H:%M:%SZ}"
    name = f"{truth.fault}-{truth.service}"
    metadata = {"name": name, "creationTimestamp": created}
    document = {"changed": True, "result": {"metadata": metadata}}
    path.write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8")


def _clock(times_ns: pd.Series[int]) -> pd.Series[str]:
    """As in the collector's tables: whole seconds."""
    return pd.to_datetime(times_ns, unit="ns").dt.strftime("%Y-%m-%d %H:%M:%S")


def _iso(times_us: pd.Series[int]) -> pd.Series[str]:
    return pd.to_datetime(times_us, unit="us").dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
