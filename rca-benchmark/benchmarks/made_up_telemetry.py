"""Made-up log lines and spans of a serving stack, in files, or behind Loki's and DeepFlow's APIs.

made_up_telemetry.py LINES SPANS: serve both on one port of this machine, which is printed.
"""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import orjson

BASE_S = 1_795_417_200  # 2026-11-23T07:00:00Z
SECONDS = 600
SERVICES = ("nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1")
SPANS_PER_TRACE = 3
SPANS_PER_LINE = 99
_TEXTS = (
    "[loggers.py:127] Engine 000: Avg prompt throughput: {a}.{b} tokens/s, running: {c} reqs, "
    "KV usage: {b}.{c}%",
    "proxy 10.0.0.{c} {a}-request http.py:{b} - POST /v1/completions 200 {a}.{b}ms, {c} chunks, "
    "kept alive",
    "[async_llm.py:261] Added request cmpl-{a}-{b}-{c} with {c} prompt tokens to the queue of the "
    "engine core",
    "replica ray-replicas-{c} answered request {a}{b} after {b}.{a} ms; {c} tokens were generated "
    "for it",
)


def log_lines(lines):
    """(service, time in ns, text of the program) of each line, by time."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, SECONDS * 10**9, lines)) + BASE_S * 10**9
    numbers = rng.integers(0, 1000, (lines, 3)).tolist()
    for place, (time, (a, b, c)) in enumerate(zip(times.tolist(), numbers, strict=True)):
        second, rest = divmod(time, 10**9)
        minute, second = divmod((second - BASE_S) % 3600, 60)
        clock = f"2026-11-23 07:{minute:02d}:{second:02d},{rest // 10**6:03d}"
        text = _TEXTS[place % len(_TEXTS)].format(a=a, b=b, c=c)
        yield SERVICES[place % 4], time, f"INFO {clock} {text}"


def spans(count):
    """Spans as (trace, span, parent, service, start in µs, duration in µs), by trace."""
    rng = np.random.default_rng(1)
    traces = -(-count // SPANS_PER_TRACE)
    starts = np.sort(rng.integers(0, (SECONDS - 5) * 10**6, traces)) + BASE_S * 10**6
    for trace, start in enumerate(starts.tolist()):
        for depth in range(SPANS_PER_TRACE):
            parent = f"{trace:012x}{depth - 1:04x}" if depth else ""
            span = f"{trace:012x}{depth:04x}"
            yield (
                f"{trace:032x}",
                span,
                parent,
                SERVICES[depth],
                start + 900 * depth,
                90_000 - depth,
            )


def write_logs(folder, lines):
    """One file per service, in its own sub-folder."""
    files = {}
    for service in SERVICES:
        (folder / service).mkdir(parents=True)
        files[service] = (folder / service / "out.log").open("w", encoding="utf-8")
    for service, _, text in log_lines(lines):
        files[service].write(text + "\n")
    for file in files.values():
        file.close()


def write_spans(path, count):
    """OTLP JSON lines of some hundred spans each."""
    batch = []
    with path.open("wb") as file:
        for span in spans(count):
            batch.append(span)
            if len(batch) == SPANS_PER_LINE:
                file.write(_otlp(batch) + b"\n")
                batch = []
        if batch:
            file.write(_otlp(batch) + b"\n")


def _otlp(batch):
    resources = {}
    for trace, span, parent, service, start, duration in batch:
        document = {
            "traceId": trace,
            "spanId": span,
            "parentSpanId": parent,
            "name": f"{service} request",
            "startTimeUnixNano": str(start * 1000),
            "endTimeUnixNano": str((start + duration) * 1000),
            "attributes": [
                {"key": "http.route", "value": {"stringValue": "/v1/completions"}},
                {"key": "http.response.status_code", "value": {"intValue": "200"}},
            ],
        }
        resources.setdefault(service, []).append(document)
    return orjson.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {
                        "attributes": [{"key": "service.name", "value": {"stringValue": service}}]
                    },
                    "scopeSpans": [{"spans": documents}],
                }
                for service, documents in resources.items()
            ]
        }
    )


class Server(ThreadingHTTPServer):
    """Loki's query_range and DeepFlow's query over the made-up telemetry."""

    daemon_threads = True

    def __init__(self, lines, count):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lines = list(log_lines(lines))
        self.times = np.array([time for _, time, _ in self.lines])
        self.spans = list(spans(count))

    def loki(self, asked):
        """The earliest entries, as streams."""
        first, last = np.searchsorted(self.times, [int(asked["start"][0]), int(asked["end"][0])])
        page = self.lines[first : min(last, first + int(asked["limit"][0]))]
        streams = {}
        for service, time, text in page:
            streams.setdefault(service, []).append([str(time), text])
        result = [{"stream": {"namespace": "ray", "container": service}, "values": values}
                  for service, values in streams.items()]  # fmt: skip
        return {"status": "success", "data": {"resultType": "streams", "result": result}}

    def deepflow(self, sql):
        """Rows behind the last key, of the columns that are asked for."""
        after = re.search(r"_id > (\d+)", sql)
        first = int(after[1]) if after else 0
        limit = int(sql.rpartition(" ")[2])
        items = re.search("SELECT (.+) FROM", sql)[1].split(", ")
        columns = [item.rpartition(" ")[2] for item in items]
        rows = []
        for key, span in enumerate(self.spans[first : first + limit], start=first + 1):
            trace, identity, parent, service, start, duration = span
            row = dict.fromkeys(columns, "") | {
                "id": str(key), "response_duration": duration, "start_us": start,
                "end_us": start + duration, "ip_1": f"10.0.0.{SERVICES.index(service)}",
                "trace_id": trace, "span_id": identity, "parent_span_id": parent,
                "request_type": "POST", "request_resource": "/v1/completions",
                "response_code": 200, "server_port": 8000,
            }  # fmt: skip
            rows.append([row[name] for name in columns])
        return {"OPT_STATUS": "SUCCESS", "result": {"columns": columns, "values": rows}}


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Loki."""
        self.answer(self.server.loki(parse_qs(urlsplit(self.path).query)))

    def do_POST(self):
        """DeepFlow."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer(self.server.deepflow(form["sql"][0]))

    def answer(self, document):
        """Send it."""
        body = orjson.dumps(document)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Quiet."""


def placement():
    """The placement record of the services."""
    return json.dumps(
        {name: {"node": "here", "address": f"10.0.0.{n}"} for n, name in enumerate(SERVICES)}
    )


if __name__ == "__main__":
    server = Server(int(sys.argv[1]), int(sys.argv[2]))
    print(server.server_port, flush=True)
    server.serve_forever()
