"""The OTLP receiver: what is sent to it is one line of JSON in a file, or an error status."""

import base64
import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

PROGRAM = Path(__file__).resolve().parents[1] / "roles/local_stack/files/otlp_sink.py"
# Runs in the serving environment, which has the OTLP messages: prints one export request.
MAKE_REQUEST = """
import base64
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
request = ExportTraceServiceRequest()
resource = request.resource_spans.add()
name = resource.resource.attributes.add(key="service.name")
name.value.string_value = "ray-head"
span = resource.scope_spans.add().spans.add(
    name="GET \\u00fc", trace_id=bytes(range(16)), span_id=bytes(range(8)),
    parent_span_id=b"\\xff" * 8, kind=2, start_time_unix_nano=1795417200000000001)
span.links.add(trace_id=b"\\xaa" * 16, span_id=b"\\xbb" * 8)
span.attributes.add(key="raw").value.bytes_value = b"bytes"
print(base64.b64encode(request.SerializeToString()).decode())
"""


class Sink(NamedTuple):
    """A running receiver."""

    url: str
    out: Path

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def export_request(serve_python: Path) -> bytes:
    """Return one export request as protobuf."""
    done = subprocess.run([serve_python, "-c", MAKE_REQUEST], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(".venv-serve lacks opentelemetry-proto")
    return base64.b64decode(done.stdout)


@pytest.fixture
def sink(
    serve_python: Path,
    export_request: bytes,
    tmp_path: Path,
    free_port: int,
    wait_for: Callable[..., None],
) -> Iterator[Sink]:
    """Run the receiver on the loopback address."""
    out, address = tmp_path / "spans.jsonl", f"127.0.0.1:{free_port}"
    command = [str(part) for part in (serve_python, PROGRAM, "--listen", address, "--out", out)]

    def answers() -> bool:
        try:
            return requests.get(f"http://{address}/", timeout=30).status_code == 501
        except requests.ConnectionError:
            assert child.poll() is None, "the receiver ended"
            return False

    with subprocess.Popen(command) as child:
        try:
            wait_for(answers)
            yield Sink(f"http://{address}/v1/traces", out)
        finally:
            child.kill()


def post(url: str, body: bytes, **headers: str) -> int:
    """Send a body and return the status of the answer."""
    return requests.post(url, data=body, headers=headers, timeout=30).status_code


def test_a_request_becomes_one_line_with_hexadecimal_ids(sink: Sink, export_request: bytes) -> None:
    answer = requests.post(sink.url, data=export_request, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "application/x-protobuf"
    (line,) = sink.lines()
    (resource,) = line["resourceSpans"]
    name = {"key": "service.name", "value": {"stringValue": "ray-head"}}
    assert resource["resource"] == {"attributes": [name]}
    (span,) = resource["scopeSpans"][0]["spans"]
    assert span == {
        "name": "GET ü",
        "traceId": "000102030405060708090a0b0c0d0e0f",
        "spanId": "0001020304050607",
        "parentSpanId": "f" * 16,
        "kind": 2,
        "startTimeUnixNano": "1795417200000000001",
        "links": [{"traceId": "a" * 32, "spanId": "b" * 16}],
        "attributes": [{"key": "raw", "value": {"bytesValue": "Ynl0ZXM="}}],
    }


def test_a_compressed_request_gives_the_same_line(sink: Sink, export_request: bytes) -> None:
    assert post(sink.url, export_request) == 200
    assert post(sink.url, gzip.compress(export_request), **{"Content-Encoding": "gzip"}) == 200
    plain, compressed = sink.lines()
    assert plain == compressed


def test_garbage_is_refused_and_leaves_no_line(sink: Sink, export_request: bytes) -> None:
    packed = gzip.compress(export_request)
    broken = packed[:12] + bytes(b ^ 0xFF for b in packed[12:])
    assert post(sink.url, b"\xff garbage") == 400
    for body in (b"no gzip", packed[:-12], broken):
        assert post(sink.url, body, **{"Content-Encoding": "gzip"}) == 400
    assert sink.lines() == []
    assert post(sink.url, export_request) == 200
    assert len(sink.lines()) == 1


def test_another_path_is_not_found(sink: Sink, export_request: bytes) -> None:
    with requests.Session() as session:  # the connection stays usable: the body was read
        for path in ("/v1/logs", "/", "/v1/traces/x"):
            url = sink.url.replace("/v1/traces", path)
            assert session.post(url, data=export_request, timeout=30).status_code == 404
        assert session.post(sink.url, data=export_request, timeout=30).status_code == 200
    assert len(sink.lines()) == 1
