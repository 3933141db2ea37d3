"""Hand a data set to the Ray nodes that score it, and their results back. Needs nothing but Python.

Usage: exchange.py serve FOLDER [--port PORT]    beside Ray's head
       exchange.py fetch URL FOLDER              on a worker, before Ray starts: waits, then unpacks

Over HTTP:
    PUT /data.tar               unpacked into FOLDER; a second one changes nothing
    GET /data.tar               the archive again, once it is unpacked
    GET /out/results.parquet    what the scoring has written
"""

import argparse
import http.client
import http.server
import io
import shutil
import sys
import tarfile
import threading
import time
import urllib.request
from http import HTTPStatus
from pathlib import Path

DATA = "data.tar"
FILES = (DATA, "out/results.parquet")
PIECE = 1 << 20  # bytes
PAUSE_S = 1
TIMEOUT_S = 60


def copy(source: io.BufferedIOBase, target: Path, length: int) -> bool:
    """Write so many bytes to a file; returns whether they all came."""
    with target.open("wb") as file:
        while left := length - file.tell():
            piece = source.read(min(left, PIECE))
            if not piece:
                return False
            file.write(piece)
    return True


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive; what leads out of the folder is refused."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def handler(folder: Path) -> type[http.server.BaseHTTPRequestHandler]:
    """Return the HTTP side of a folder."""
    one_at_a_time = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Send a file."""
            path = folder / self.path.lstrip("/")
            if self.path.lstrip("/") not in FILES or not path.exists():
                self.answer(HTTPStatus.NOT_FOUND)
                return
            with path.open("rb") as file:
                self.answer(HTTPStatus.OK, path.stat().st_size)
                shutil.copyfileobj(file, self.wfile)

        def do_PUT(self) -> None:
            """Take the data set, once."""
            partial = folder / f".{DATA}"
            length = int(self.headers.get("Content-Length") or 0)
            with one_at_a_time:
                if self.path != f"/{DATA}" or not copy(self.rfile, partial, length):
                    self.close_connection = True
                    self.answer(HTTPStatus.BAD_REQUEST)
                    return
                if not (folder / DATA).exists():
                    unpack(partial, folder)
                    partial.rename(folder / DATA)
            self.answer(HTTPStatus.OK)

        def answer(self, status: HTTPStatus, length: int = 0) -> None:
            """Send the head of an answer."""
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing of each look."""

    return Handler


def fetch(url: str, folder: Path) -> None:
    """Wait for the data set, and unpack it."""
    archive = folder / DATA
    while True:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - from our own pod
                if copy(answer, archive, int(answer.headers["Content-Length"])):
                    break
        except (OSError, http.client.HTTPException) as error:
            print(f"{url}: {error}", file=sys.stderr)
        time.sleep(PAUSE_S)
    unpack(archive, folder)
    archive.unlink()


def main() -> None:
    """Serve until killed, or fetch once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    serve = actions.add_parser("serve")
    serve.add_argument("folder", type=Path)
    serve.add_argument("--port", type=int, default=8000)
    getting = actions.add_parser("fetch")
    getting.add_argument("url")
    getting.add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.action == "fetch":
        fetch(args.url, args.folder)
        return
    address = ("0.0.0.0", args.port)  # noqa: S104 - a pod's own; its namespace is closed
    http.server.ThreadingHTTPServer(address, handler(args.folder)).serve_forever()


if __name__ == "__main__":
    main()
