"""Run the load generator in a pod when told to, then hand out what it wrote.

Usage: load_runner.py --out DIR [--host ADDRESS] [--port PORT] -- COMMAND ...

In COMMAND, {start_at} and {out} stand for the instant that it is told and for DIR. Over HTTP:
    GET  /state          {"state": "ready" | "running" | "done" | "failed", "log": [last lines]}
    POST /start          {"start_at": INSTANT}: begins; asked again with the same, it does nothing
    GET  /files          the names of the files that were written, once it is done
    GET  /files/NAME     one of them

So several pods can be made ready first and told one common instant, and their records are fetched
through the API server, without a volume or a way into the pod. What COMMAND says goes to the log.
"""

import argparse
import http.server
import json
import signal
import subprocess
import sys
import threading
from collections import deque
from http import HTTPStatus
from pathlib import Path
from typing import Any

LOG_LINES = 20
END_S = 10  # for the load to end when it is told to


class Runner:
    """One load, begun once."""

    def __init__(self, command: list[str], out: Path) -> None:
        self.command = command
        self.out = out
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.start_at: str | None = None
        self.process: subprocess.Popen[str] | None = None
        self.listener: threading.Thread
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
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            self.listener = threading.Thread(target=self.listen, args=[self.process], daemon=True)
            self.listener.start()
            return HTTPStatus.ACCEPTED

    def listen(self, process: subprocess.Popen[str]) -> None:
        """Pass on what the load says, and keep the end of it."""
        for line in process.stdout or ():
            print(line, end="", flush=True)
            self.log.append(line.rstrip())

    def state(self) -> dict[str, Any]:
        """Say how far it is."""
        with self.lock:
            name = "ready"
            if self.process is not None:
                code = self.process.poll()
                name = "running" if code is None else "failed" if code else "done"
                if code is not None:
                    self.listener.join(1)  # for its last words
            return {"state": name, "log": [*self.log]}

    def files(self) -> list[str]:
        """Name what was written; nothing before it is all there."""
        if self.state()["state"] != "done":
            return []
        return sorted(path.name for path in self.out.iterdir() if path.is_file())

    def stop(self) -> None:
        """End the load, if it has begun and not ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()


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
    """Serve until killed; the load ends too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a pod's own; its namespace is closed
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    runner = Runner(args.command, args.out)
    # The first process of a pod is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        http.server.ThreadingHTTPServer((args.host, args.port), handler(runner)).serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        runner.stop()


if __name__ == "__main__":
    main()
