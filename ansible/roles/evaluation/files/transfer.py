"""Carry a data set to where it is scored, and the results back.

Usage: transfer.py pack DATASET OUT ARCHIVE    the data set, with the results that OUT holds
       transfer.py send ARCHIVE URL
       transfer.py fetch URL OUT               results.parquet, whole or not at all

The other end is exchange.py. URLs are http://host:port or k8s://namespace/service:port (KUBECONFIG
leads there). Each is tried once.
"""

import argparse
import sys
import tarfile
from pathlib import Path

from rca_benchmark.errors import BenchError
from rca_benchmark.export.endpoint import resolve
from rca_benchmark.export.requesting import new_session

RESULTS = "results.parquet"
PIECE = 1 << 20  # bytes
TIMEOUT_S = (10, 600)  # to connect; without a byte, as while the other end unpacks


def pack(dataset: Path, out: Path, archive: Path) -> None:
    """Write the archive, in which folders lie as they will where it is unpacked."""
    with tarfile.open(archive, "w") as tar:
        tar.add(dataset.resolve(), f"data/{dataset.resolve().name}")
        if (out / RESULTS).exists():
            tar.add(out / RESULTS, f"out/{RESULTS}")


def send(archive: Path, url: str) -> None:
    """Put the archive there."""
    endpoint = resolve("evaluation", url)
    with new_session(endpoint) as session, archive.open("rb") as file:
        answer = session.put(f"{endpoint.url}/data.tar", data=file, timeout=TIMEOUT_S)
        answer.raise_for_status()


def fetch(url: str, out: Path) -> None:
    """Get the results."""
    endpoint = resolve("evaluation", url)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".{RESULTS}.partial"
    with new_session(endpoint) as session:
        where = f"{endpoint.url}/out/{RESULTS}"
        with session.get(where, timeout=TIMEOUT_S, stream=True) as answer:
            answer.raise_for_status()
            with partial.open("wb") as file:
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
    partial.replace(out / RESULTS)


def main() -> None:
    """Do as told; errors are one line and exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    packing = actions.add_parser("pack")
    packing.set_defaults(run=pack)
    for name in ("dataset", "out", "archive"):
        packing.add_argument(name, type=Path)
    sending = actions.add_parser("send")
    sending.set_defaults(run=send)
    sending.add_argument("archive", type=Path)
    sending.add_argument("url")
    fetching = actions.add_parser("fetch")
    fetching.set_defaults(run=fetch)
    fetching.add_argument("url")
    fetching.add_argument("out", type=Path)
    args = vars(parser.parse_args())
    run = args.pop("run")
    try:
        run(**args)
    except (BenchError, OSError) as error:  # those of requests are OSErrors
        sys.exit(f"transfer.py: {error}".replace("\n", " "))


if __name__ == "__main__":
    main()
