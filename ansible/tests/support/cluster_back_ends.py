"""What a stack on a cluster would say: Prometheus, Loki, DeepFlow and pods, by one small server.

Paths begin with the part: /prometheus, /loki, /deepflow, /ray, /spans, /pod/SERVICE. Every query
gets an answer of the right shape; its values are 1, and 5 for a service while a fault is on it. No
claim is made about real telemetry: what is tested is that an experiment asks, waits, exports and
goes on.
"""

import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

SERVICES = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")
SPAN_FILES = {"spans-1.jsonl": SERVICES[:2], "spans.jsonl": SERVICES[2:]}
ADDRESSES = {service: f"10.42.0.{number}" for number, service in enumerate(SERVICES, 1)}
GPUS = {"ray-replicas-0": "GPU-0", "ray-replicas-1": "GPU-1"}
LABELS = ("container", "pod", "service", "destination_canonical_service", "node", "UUID")
INSTANT = [  # of what the steady state and the faults' effects ask; the first that fits
    (r"up == 0|error_counter|num_requests_waiting", 0.0),
    (r"count\(sum by \(service\)", 2.0),
    (r"time\(\)", None),
    (r"cfs_periods|cfs_throttled", "throttled"),
    (r"container_cpu_usage", "cores"),
]


class BackEnds:
    """The server.

    Attributes:
        suffers: tells whether a service suffers from a fault now.
        history: (UTC epoch s, service) since when, and until when, each suffered.
        replicas: the service that each replica is in.
        workers: the services in which the first replica has further actors.
        ray_takes: the authorization that Ray's dashboard asks for.
    """

    def __init__(self, suffers: Callable[[str], bool]) -> None:
        self.suffers = suffers
        self.begun_s = int(time.time())
        self.history: list[tuple[float, float, str]] = []
        self.replicas: list[str] = list(GPUS)
        self.workers: list[str] = []
        self.ray_takes = "Bearer known"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def instant(self, query: str) -> Any:
        """Answer an instant query."""
        if query == "time()":
            return {"resultType": "scalar", "result": [time.time(), str(time.time())]}
        if any(
            word in query for word in ("exported_pod", "istio_requests_total", "sum_over_time(up")
        ):
            rows: list[Any] = []
        elif "DCGM" in query:
            rows = [({"pod": service, "UUID": gpu}, 1.0) for service, gpu in GPUS.items()]
        else:
            rows = [({}, self.value(query))]
        result = [{"metric": labels, "value": [time.time(), str(v)]} for labels, v in rows]
        return {"resultType": "vector", "result": result}

    def value(self, query: str) -> float:
        """One value for a query that has one."""
        container = re.search(r'container="([a-z0-9-]+)"', query)
        hurt = container is not None and self.suffers(container[1])
        for pattern, value in INSTANT:
            if re.search(pattern, query):
                if value == "throttled":
                    return 1.0 if hurt else 0.1
                if value == "cores":
                    return 3.0 if hurt else 0.5
                return float(value or 0)
        return 1.0

    def matrix(self, query: str, start: float, end: float, step: float) -> Any:
        """Answer a range query: one series for each entity that its label can name."""
        label = next((name for name in LABELS if f"by ({name}" in query), None)
        names = {"node": ("node-1",), "UUID": tuple(GPUS.values())}.get(label or "", SERVICES)
        series = []
        for name in names if label else ("",):
            times = [start + n * step for n in range(int((end - start) / step) + 1)]
            values = [[t, str(5.0 if self.hurt(name, t) else 1.0)] for t in times]
            series.append({"metric": {label: name} if label else {}, "values": values})
        return {"resultType": "matrix", "result": series}

    def hurt(self, service: str, at: float) -> bool:
        """Whether a service suffered at an instant; its GPU and the entry suffer with it."""
        owner = {gpu: name for name, gpu in GPUS.items()}.get(service, service)
        return any(
            begin <= at <= end and owner in (name, "nginx-proxy")
            for begin, end, name in self.history
        )

    def spans(self, services: Iterable[str]) -> bytes:
        """OTLP JSON lines: of each service, a span at each second since the beginning."""
        lines = []
        for service in services:
            spans = [
                {
                    "traceId": f"{second:032x}",
                    "spanId": f"{second:08x}{SERVICES.index(service):08x}",
                    "name": "POST",
                    "startTimeUnixNano": f"{second}000000000",
                    "endTimeUnixNano": f"{second}100000000",
                }
                for second in range(self.begun_s, int(time.time()))
            ]
            name = {"key": "service.name", "value": {"stringValue": service}}
            resource = {"attributes": [name]}
            lines.append(
                {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
            )
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    def answer(self, path: str, query: dict[str, str]) -> Any:
        """Answer one request by its path."""
        part, _, rest = path.lstrip("/").partition("/")
        if part == "prometheus" and rest.endswith("query_range"):
            window = (float(query[key]) for key in ("start", "end", "step"))
            return {"status": "success", "data": self.matrix(query["query"], *window)}
        if part == "prometheus" and rest.endswith("targets"):
            return {"status": "success", "data": {"activeTargets": []}}
        if part == "prometheus":
            return {"status": "success", "data": self.instant(query["query"])}
        if part == "loki":
            return {"status": "success", "data": {"resultType": "streams", "result": []}}
        if part == "deepflow":
            asked = query["sql"].removeprefix("SELECT ").partition(" FROM ")[0].split(", ")
            columns = [column.rpartition(" AS ")[2] for column in asked]
            return {"OPT_STATUS": "SUCCESS", "result": {"columns": columns, "values": []}}
        if part == "spans" and rest:
            return self.spans(SPAN_FILES[rest])
        if part == "spans":
            about = {"type": "file", "mtime": formatdate(usegmt=True), "size": 1}
            return [{"name": name, **about} for name in SPAN_FILES]
        if part == "ray":
            return self.serving() if rest.startswith("api/serve/") else self.actors()
        if self.suffers(rest.split("/")[0]):
            time.sleep(0.25)
        return {"status": "ok"}

    def serving(self) -> Any:
        """Ray Serve's applications."""
        replicas = [
            {"replica_id": f"replica-{n}", "state": "RUNNING", "actor_id": f"actor-{n}"}
            | {"node_ip": ADDRESSES[service]}
            for n, service in enumerate(self.replicas)
        ]
        return {"applications": {"llm": {"deployments": {"vllm": {"replicas": replicas}}}}}

    def actors(self) -> Any:
        """Ray's actors: each replica's own in a placement group, and those of the first one."""
        named = {f"actor-{n}": (str(n), service) for n, service in enumerate(self.replicas)}
        named |= {f"worker-{n}": ("0", service) for n, service in enumerate(self.workers)}
        actors = {
            name: {"placementGroupId": group, "state": "ALIVE"}
            | {"address": {"ipAddress": ADDRESSES[service]}}
            for name, (group, service) in named.items()
        }
        return {"result": True, "data": {"actors": actors}}

    def _handler(back_ends: "BackEnds") -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                parts = urlsplit(self.path)
                asked = parse_qs(parts.query) | parse_qs(body)
                found = back_ends.answer(parts.path, {k: v[0] for k, v in asked.items()})
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                key = self.headers.get("X-Ray-Authorization")
                known = key == back_ends.ray_takes or not parts.path.startswith("/ray/")
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = answer  # noqa: N815
            do_POST = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler
