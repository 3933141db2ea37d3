"""OTLP/HTTP trace receiver that appends to a file, as the OpenTelemetry collector's file exporter.

Each request to /v1/traces (protobuf) becomes one line: an ExportTraceServiceRequest in OTLP's JSON
form (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hexadecimal, 64-bit
integers as strings).

Usage: otlp_sink.py --listen ADDRESS:PORT --out FILE
"""

import argparse
import base64
import gzip
import json
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ID_FIELDS = ("traceId", "spanId", "parentSpanId")


def with_hex_ids(node: Any) -> Any:
    """Return a JSON tree with base64 ids (protobuf's rule) turned into hexadecimal (OTLP's)."""
    if isinstance(node, list):
        return [with_hex_ids(item) for item in node]
    if isinstance(node, dict):
        return {
            key: base64.b64decode(value).hex() if key in ID_FIELDS else with_hex_ids(value)
            for key, value in node.items()
        }
    return node


def to_json_line(body: bytes) -> str:
    """Decode one protobuf export request into one line of OTLP JSON.

    Raises:
        DecodeError: the body is no ExportTraceServiceRequest.
    """
    message = ExportTraceServiceRequest.FromString(body)
    tree = MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(with_hex_ids(tree), separators=(",", ":")) + "\n"


def handler(out: TextIO) -> type[BaseHTTPRequestHandler]:
    """Return a request handler that appends to an open file, one whole line at a time."""
    lock = Lock()

    class Sink(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/v1/traces":
                self.answer(404)
                return
            try:
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                line = to_json_line(body)
            except (DecodeError, gzip.BadGzipFile, EOFError, zlib.error):
                self.answer(400)
                return
            with lock:
                out.write(line)
                out.flush()
            self.answer(200)

        def answer(self, status: int) -> None:
            """Send an empty answer: an empty ExportTraceServiceResponse is zero bytes."""
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent: the file is the log."""

    return Sink


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    address, _, port = args.listen.rpartition(":")
    with args.out.open("a", encoding="utf-8") as out:
        ThreadingHTTPServer((address, int(port)), handler(out)).serve_forever()


if __name__ == "__main__":
    main()
