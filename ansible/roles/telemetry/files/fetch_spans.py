"""Fetch the files that a cluster's collector of traces wrote its spans of a window to.

Usage: fetch_spans.py --files URL --start NS --end NS --out DIR

URL is of the server that lists and hands out these files (nginx.org/en/docs/http/
ngx_http_autoindex_module.html, format json): http://host:port or k8s://namespace/service:port
(KUBECONFIG leads there). A full file is renamed and a new one begun, so that a window may lie in
several. DIR appears whole or not at all; the paths of its files are printed. Exit status 3 where
none has spans of the window, 1 for whatever may pass by itself.
"""

import argparse
import shutil
import sys
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import Endpoint, resolve
from rca_benchmark.export.requesting import brief, new_session, request_json

SECOND_NS = 1_000_000_000
CLOCKS_S = 5  # more than clocks of a usable case differ
NO_SPANS = 3  # exit status
LATE_S = 600  # a span is written once it has ended


class NoSpansError(ExportError):
    """Nothing was written; asking again is no use."""


def of_window(listing: list[dict[str, Any]], start_ns: int, end_ns: int) -> list[dict[str, Any]]:
    """The files that may hold spans of a window.

    One holds what was written between the last change of the file before it and its own.
    """
    chosen, begun_s = [], 0.0
    files = [item for item in listing if item["type"] == "file"]
    for item in sorted(files, key=changed_s):
        late_s = end_ns / SECOND_NS + LATE_S
        if changed_s(item) >= start_ns // SECOND_NS - CLOCKS_S and begun_s <= late_s:
            chosen.append(item)
        begun_s = changed_s(item)
    return chosen


def changed_s(item: dict[str, Any]) -> float:
    """When a file was last written to, UTC epoch s, in whole seconds."""
    return parsedate_to_datetime(item["mtime"]).timestamp()


def fetch(session: requests.Session, endpoint: Endpoint, item: dict[str, Any], path: Path) -> None:
    """Write a file as it is now, at least as long as it was listed.

    Raises:
        ExportError: it cannot be had, or has been renamed since.
    """
    url = f"{endpoint.url}/{quote(item['name'])}"
    try:
        with (
            session.get(url, stream=True, timeout=endpoint.timeout_s) as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_content(1 << 20):
                file.write(piece)
    except requests.RequestException as error:
        raise ExportError(f"{url}: cannot be fetched: {brief(error)}") from error
    if path.stat().st_size < item["size"]:
        raise ExportError(f"{url}: a new file was begun meanwhile; run the same command again")


def fetch_all(endpoint: Endpoint, start_ns: int, end_ns: int, out: Path) -> list[Path]:
    """Write all files of a window.

    Raises:
        NoSpansError: there is none.
        ExportError: one cannot be had.
    """
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with new_session(endpoint) as session:
        listing = request_json(session, endpoint, "GET", "/", asked="the list of files")
        items = of_window(listing, start_ns, end_ns)
        if not items:
            raise NoSpansError(
                f"{endpoint.url}: none of {len(listing)} files has spans of the window; "
                "does the collector run, and do the services send to it?"
            )
        for item in items:
            fetch(session, endpoint, item, partial / item["name"])
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return [out / item["name"] for item in items]


def main() -> None:
    """Fetch; errors are one line and exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", required=True)
    parser.add_argument("--start", type=int, required=True)
    parser.add_argument("--end", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        endpoint = resolve("spans", args.files)
        print(*fetch_all(endpoint, args.start, args.end, args.out), sep="\n")
    except NoSpansError as error:
        print(error, file=sys.stderr)
        sys.exit(NO_SPANS)
    except ExportError as error:
        sys.exit(str(error).replace("\n", " "))


if __name__ == "__main__":
    main()
