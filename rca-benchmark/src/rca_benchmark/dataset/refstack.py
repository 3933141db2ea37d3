"""The raw export of the LLM reference stack, data set ``llm-ref-stack-dp``.

``<model>-<fault>-stress-<target>/results/qps-<q>-iteration-<k>/`` holds the collector's metrics and
graph in ``rca-collector-results/``, Loki's logs, DeepFlow's request list and Chaos Mesh's answer.
Times without a zone are UTC: the collectors ran in containers. Node metrics are left out, as the
services of one node share them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from rca_benchmark.case import (
    EDGE_COLUMNS,
    TRACE_COLUMNS,
    Case,
    Observation,
    service_of,
    typed_table,
)
from rca_benchmark.dataset.events import to_logs, to_traces
from rca_benchmark.dataset.grid import to_grid
from rca_benchmark.dataset.layout import (
    SECOND_NS,
    Telemetry,
    build_case,
    entry_sli,
    folders,
    read_json,
)
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "llm-ref-stack"
EXPECTED: Final = (
    "<model>-<fault>-stress-<target>/results/<iteration>/rca-collector-results/data.csv"
)
FAULTS: Final = ("cpu", "memory", "network", "gpu")
_FOLDER: Final = re.compile(rf".+-({'|'.join(FAULTS)})-stress-(.+)")
_METRICS: Final = "rca-collector-results/data.csv"
_LATENCY: Final = "rca-collector-results/latency_aggregated_90.csv"
_GRAPH: Final = "rca-collector-results/mpg.csv"
_LOGS: Final = "loki-logs.json"
_TRACES: Final = "deepflow-traces-request-list.csv"
_CHAOS: Final = "apply_result_chaos_anomaly_injection.json"


def find(root: Path) -> list[Path]:
    """The iteration folders of every experiment with a fault in its name."""
    return [
        iteration
        for folder in folders(root)
        if _FOLDER.fullmatch(folder.name) and (folder / "results").is_dir()
        for iteration in folders(folder / "results")
    ]


def is_case(directory: Path) -> bool:
    """Whether a folder holds the collector's results."""
    return (directory / _METRICS).is_file()


def case_name(directory: Path) -> str:
    """``<experiment>/<iteration>``."""
    return f"{directory.absolute().parents[1].name}/{directory.name}"


def read_case(directory: Path, dataset: str) -> Case:
    """Read one iteration. The experiment's folder names fault and target.

    Raises:
        CaseError: a file is missing or cannot be read, or the iteration had no fault.
    """
    match = _FOLDER.fullmatch(directory.absolute().parents[1].name)
    if match is None:
        raise CaseError(f"{directory}: the experiment is not named <model>-<fault>-stress-<target>")
    fault, service = match.groups()
    return build_case(directory, dataset, case_name(directory), _read(directory), service, fault)


def read_observation(directory: Path) -> Observation:
    """Read what methods may see of an iteration.

    Raises:
        CaseError: as for ``read_case``.
    """
    return _read(directory).observation


def _read(directory: Path) -> Telemetry:
    try:
        inject_time_ns = _inject_time(directory / _CHAOS)
        raw, addresses = _read_metrics(directory)
        metrics, step_ns, notes = to_grid(raw, inject_time_ns)
        traces, dropped = _traces(directory / _TRACES, addresses)
        observation = Observation(
            metrics=metrics,
            logs=_logs(directory / _LOGS),
            traces=traces,
            topology=_topology(directory / _GRAPH),
            inject_time_ns=inject_time_ns,
            sli=entry_sli(metrics.columns),
            services=tuple(sorted({service_of(name) for name in raw.columns if "_ctn_" in name})),
            step_ns=step_ns,
        )
    except CaseError as error:
        where = "" if str(directory) in str(error) else f"{directory}: "
        raise CaseError(f"{where}{error}") from error
    if dropped:
        notes = (*notes, f"traces: {dropped} requests without trace, service or route left out")
    names = (_METRICS, _LATENCY, _GRAPH, _LOGS, _TRACES)
    return Telemetry(observation, notes, tuple(directory / name for name in names))


def _inject_time(path: Path) -> int:
    """When Chaos Mesh made the fault: the creation time of its resource."""
    document = read_json(path)
    try:
        text = document["result"]["metadata"]["creationTimestamp"]
        return int(pd.Timestamp(text).tz_convert("UTC").as_unit("ns").value)
    except (KeyError, TypeError, ValueError) as error:
        raise CaseError(f"{path}: no result.metadata.creationTimestamp: {error}") from error


def _read_metrics(directory: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Container metrics with each service's latency (ms), and the service of each pod address.

    A time that only one of the two files has is a gap in the columns of the other.
    """
    data, latency = (_read_csv(directory / name) for name in (_METRICS, _LATENCY))
    for name, table in ((_METRICS, data), (_LATENCY, latency)):
        if "time" not in table.columns:
            raise CaseError(f"{directory / name}: columns missing: time")
        table["time"] = _epoch_ns(table["time"], directory / name) // SECOND_NS
    kept = data[["time", *(name for name in data.columns if "_ctn_" in name)]]
    latency = latency.rename(columns=lambda name: name if name == "time" else f"{name}_latency-90")
    latency = latency.drop(columns="unknown_latency-90", errors="ignore")
    return kept.merge(latency, on="time", how="outer"), _addresses(data)


def _addresses(data: pd.DataFrame) -> dict[str, str]:
    """Service by pod address."""
    return {
        str(address): service_of(name)
        for name in data.columns
        if name.endswith("_pod_ip")
        for address in data[name].dropna().unique()
    }


def _logs(path: Path) -> pd.DataFrame:
    columns = ["time", "container", "file", "msg"]
    rows: Any = read_json(path)
    try:
        raw = pd.DataFrame(rows, columns=columns)
    except (ValueError, TypeError) as error:
        raise CaseError(f"{path}: is no list of log records: {error}") from error
    names = {"container": "container_name", "msg": "message", "file": "source"}
    return to_logs(raw.rename(columns=names).assign(timestamp=_epoch_ns(raw["time"], path)))


def _traces(path: Path, services: dict[str, str]) -> tuple[pd.DataFrame, int]:
    """Requests as spans, and the number of those left out for want of a name."""
    # As text: an identity such as 0000000000000005 is no number.
    raw = _read_csv(path, dtype="str", keep_default_na=False, na_values=[""])
    names = {
        "Trace ID": "traceID",
        "Span ID": "spanID",
        "Parent Span ID": "parentSpanID",
        "Server IP": "serviceName",
        "Endpoint": "methodName",
        "Request Resource": "operationName",
        "Start Time": "startTime",
        "Response Delay": "duration",
        "Response Code": "statusCode",
    }
    if missing := set(names) - set(raw.columns):
        raise CaseError(f"{path}: columns missing: {', '.join(sorted(missing))}")
    spans = raw.rename(columns=names)[list(TRACE_COLUMNS)]
    spans["serviceName"] = spans["serviceName"].map(services)
    kept = spans.dropna(subset=["traceID", "serviceName", "methodName", "operationName"])
    kept = kept.assign(startTime=_epoch_ns(kept["startTime"], path) // 1000)
    return to_traces(kept), len(spans) - len(kept)


def _topology(path: Path) -> pd.DataFrame:
    """Edges; a destination that is an address and port is the node that carries the service."""
    raw = _read_csv(path)
    if missing := {"source", "destination"} - set(raw.columns):
        raise CaseError(f"{path}: columns missing: {', '.join(sorted(missing))}")
    host = raw["destination"].astype("str").str.fullmatch(r"[\d.]+:\d+")
    kind = host.map({True: "host", False: "call"})
    table = pd.DataFrame({"source": raw["source"], "target": raw["destination"], "kind": kind})
    return typed_table(table, EDGE_COLUMNS)


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    try:
        raw: pd.DataFrame = pd.read_csv(path, low_memory=False, **options)
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    return raw.drop(columns=[name for name in raw.columns if name.startswith("Unnamed")])


def _epoch_ns(times: pd.Series, path: Path) -> pd.Series:
    """Texts without a zone as UTC epoch nanoseconds."""
    try:
        moments = pd.to_datetime(times, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise CaseError(f"{path}: a time cannot be read: {error}") from error
    return moments.dt.as_unit("ns").astype("int64")
