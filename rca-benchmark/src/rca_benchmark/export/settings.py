"""What an export is told, by its configuration file and its command line, and its back ends.

The configuration file is YAML:

    namespace: ray               # of Kubernetes
    step_seconds: 5              # scrape interval, where it is not the platform's usual one
    prometheus:                  # likewise loki, deepflow, deepflow_app
      url: k8s://observability/prometheus-operated:9090
      token_file: /run/secrets/token     # or username and password_file
      ca_file: /etc/ssl/own-ca.pem       # or verify_tls: false
    loki:
      url: https://loki.example.org
      selector: '{namespace="ray"}'
    quality: {samples: 0.95, effect: any, clock_skew_s: 1}
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import resolve
from rca_benchmark.export.indicators import NAMESPACE, read_catalogue
from rca_benchmark.export.quality import Bars

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rca_benchmark.case import GroundTruth
    from rca_benchmark.export.base import BackEnd, Window
    from rca_benchmark.export.endpoint import Endpoint
    from rca_benchmark.export.indicators import Catalogue
    from rca_benchmark.export.placement import Placement

SERVERS: Final = ("prometheus", "loki", "deepflow", "deepflow_app")
_KEYS: Final = frozenset({"namespace", "step_seconds", "quality", *SERVERS})


@dataclass(frozen=True)
class Settings:
    """Everything an export needs to know but the window and the ground truth.

    Attributes:
        catalogue: the queries of the platform.
        servers: endpoint by name, of those that were given.
        selector: of Loki's streams.
        namespace: of Kubernetes.
        bars: what a case must reach.
        otlp: files of OTLP JSON lines.
        logs: folder of log files.
        access_log: whether nginx's access log below ``logs`` gives the indicators of the entry.
    """

    catalogue: Catalogue
    servers: Mapping[str, Endpoint]
    selector: str
    namespace: str
    bars: Bars
    otlp: tuple[Path, ...] = field(default=())
    logs: Path | None = None
    access_log: bool = True


def read_settings(
    platform: str,
    config: Path | None,
    addresses: Mapping[str, str | None],
    otlp: tuple[Path, ...] = (),
    logs: Path | None = None,
) -> Settings:
    """The settings of a platform, of a configuration file, and of the command line on top.

    Args:
        platform: one of ``indicators.PLATFORMS``.
        config: the configuration file, if any.
        addresses: address by server, as given on the command line; None where it was not.
        otlp: files of OTLP JSON lines.
        logs: folder of log files.

    Raises:
        ExportError: the file cannot be read, holds what is not known, or an address is none.
    """
    given = _read(config) if config else {}
    namespace = str(given.get("namespace", NAMESPACE))
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", namespace):
        raise ExportError(f"{config}: namespace {namespace!r} is no name of Kubernetes")
    servers, selector = {}, f'{{namespace="{namespace}"}}'
    for name in SERVERS:
        options = dict(given.get(name) or {})
        address = addresses.get(name) or options.pop("url", None)
        options.pop("url", None)
        if name == "loki":
            selector = str(options.pop("selector", selector))
        if address:
            servers[name] = resolve(name, str(address), options)
    if not (servers.keys() & {"prometheus"} or logs):
        raise ExportError("no source of metrics: give --prometheus, --logs or both")
    try:
        bars = Bars(**given.get("quality", {}))
    except TypeError as error:
        raise ExportError(f"{config}: quality: {error}") from error
    step_s = given.get("step_seconds")
    catalogue = read_catalogue(platform, step_s=step_s, namespace=namespace)
    local = platform == "local"
    return Settings(catalogue, servers, selector, namespace, bars, otlp, logs, access_log=local)


def back_ends(
    settings: Settings,
    window: Window,
    placement: Placement,
    truth: GroundTruth | None,
    *,
    original: bool,
) -> list[BackEnd]:
    """Everything that is to be asked.

    Args:
        settings: what was told.
        window: the time span.
        placement: where each service runs.
        truth: says when the fault was active.
        original: whether the study's own series are wanted as well.
    """
    from rca_benchmark.export.deepflow import DeepFlow
    from rca_benchmark.export.logfiles import LogFiles
    from rca_benchmark.export.loki import Loki
    from rca_benchmark.export.nginx import AccessLog
    from rca_benchmark.export.original_series import OriginalSeries
    from rca_benchmark.export.otlp import OtlpFiles
    from rca_benchmark.export.prometheus import Prometheus
    from rca_benchmark.export.scraping import Scraping

    servers, catalogue = settings.servers, settings.catalogue
    ends: list[BackEnd] = []
    if settings.access_log:
        ends.append(AccessLog(settings.logs))
    if settings.logs:
        ends.append(LogFiles(settings.logs))
    if settings.otlp:
        ends.append(OtlpFiles(settings.otlp, placement))
    if server := servers.get("prometheus"):
        ends.append(Prometheus(server, catalogue.queries, placement))
        ends.append(Scraping(server, _fault_span(truth, window), catalogue.calls))
        if original:
            ends.append(OriginalSeries(server, catalogue.original))
    if server := servers.get("loki"):
        ends.append(Loki(server, settings.selector, placement))
    if server := servers.get("deepflow"):
        completion = servers.get("deepflow_app")
        ends.append(DeepFlow(server, placement, settings.namespace, completion, original))
    return ends


def _fault_span(truth: GroundTruth | None, window: Window) -> tuple[int, int] | None:
    if truth is None:
        return None
    return truth.injection.active_ns, truth.injection.removed_ns or window.end_ns


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ExportError(f"{path}: must be a mapping")
    if unknown := sorted(set(document) - _KEYS):
        raise ExportError(f"{path}: unknown setting {unknown[0]}; known: {sorted(_KEYS)}")
    for name in (*SERVERS, "quality"):
        if not isinstance(document.get(name) or {}, dict):
            raise ExportError(f"{path}: {name} must be a mapping")
    step = document.get("step_seconds", 1)
    if not isinstance(step, int) or isinstance(step, bool) or step < 1:
        raise ExportError(f"{path}: step_seconds must be a whole number of 1 or more")
    return document
