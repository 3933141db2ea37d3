"""Run the load generator in a pod when told to, then hand out what it wrote.

Usage: load_runner.py --out DIR [--port PORT] -- COMMAND ...

In COMMAND, {start_at} and {out} stand for the instant that it is told and for DIR. Over HTTP:
    GET  /state          {"state": "ready" | "running" | "done" | "failed", "log": [last lines]}
    POST /start          {"start_at": INSTANT}: begins; asked again with the same, it does nothing
    GET  /files          the names of the files that were written, once it is done
    GET  /files/NAME     one of them

So several pods can be made ready first and told one common instant, and their records are fetched
through the API server, without a volume or a way into the pod.
"""

import argparse
import http.server
import json
import subprocess
import sys
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

LOG_LINES = 20


class Runner:
    """One load, begun once."""

    def __init__(self, command: list[str], out: Path) -> None:
        self.command = command
        self.out = out
        self.log = out.with_name(f"{out.name}.log")
        self.start_at: str | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def start(self, start_at: str) -> HTTPStatus:
        """Begin; a second time only the same instant is agreed to."""
        with self.lock:
            if self.start_at is not None:
                return HTTPStatus.OK if start_at == self.start_at else HTTPStatus.CONFLICT
            self.start_at = start_at
            self.out.mkdir(parents=True, exist_ok=True)
            values = {"{start_at}": start_at, "{out}": str(self.out)}
            command = self.command
            for name, value in values.items():
                command = [part.replace(name, value) for part in command]
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            return HTTPStatus.ACCEPTED

    def state(self) -> dict[str, Any]:
        """Say how far it is."""
        name = "ready"
        if self.process is not None:
            code = self.process.poll()
            name = "running" if code is None else "failed" if code else "done"
        log = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return {"state": name, "log": log[-LOG_LINES:]}

    def files(self) -> list[str]:
        """Name what was written; nothing before it is all there."""
        if self.state()["state"] != "done":
            return []
        return sorted(path.name for path in self.out.iterdir() if path.is_file())


def handler(runner: Runner) -> type[http.server.BaseHTTPRequestHandler]:
    """Return the HTTP side of a runner."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer state, names or content."""
            if self.path == "/state":
                self.answer(HTTPStatus.OK, json.dumps(runner.state()).encode())
            elif self.path == "/files":
                self.answer(HTTPStatus.OK, json.dumps(runner.files()).encode())
            elif self.path.removeprefix("/files/") in runner.files():
                content = (runner.out / self.path.removeprefix("/files/")).read_bytes()
                self.answer(HTTPStatus.OK, content)
            else:
                self.answer(HTTPStatus.NOT_FOUND, b"{}")

        def do_POST(self) -> None:
            """Begin."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                start_at = json.loads(body)["start_at"]
            except (ValueError, KeyError, TypeError):
                self.answer(HTTPStatus.BAD_REQUEST, b"{}")
                return
            known = self.path == "/start"
            self.answer(runner.start(start_at) if known else HTTPStatus.NOT_FOUND, b"{}")

        def answer(self, status: HTTPStatus, content: bytes) -> None:
            """Send a whole answer."""
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: the pod's log is the load generator's."""

    return Handler


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    runner = Runner(args.command, args.out)
    address = ("0.0.0.0", args.port)  # noqa: S104 - a pod's own; its namespace is closed
    try:
        http.server.ThreadingHTTPServer(address, handler(runner)).serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
