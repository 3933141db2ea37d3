"""Tell the pods of a load when to begin, or wait for their end and fetch what they wrote.

Usage: load_conductor.py start  --runners URL,URL,... --lead SECONDS --patience SECONDS
       load_conductor.py finish --runners URL,URL,... --patience SECONDS --out DIR

`start` waits until every runner is ready, tells all of them the same instant, and prints it in UTC
epoch ns. `finish` waits until each is done and writes its files to DIR, one run that is whole: the
shards of several runners are merged. A way that is down for a while is tried again until patience
is over, unless the pods at its end have failed. URLs are http://host:port or
k8s://namespace/service:port (KUBECONFIG leads there).
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from load_pods import look

from rca_benchmark.errors import ExportError
from rca_benchmark.export.endpoint import Endpoint, resolve
from rca_benchmark.export.requesting import new_session

PAUSE_S = 1


class LoadError(Exception):
    """The load did not begin or did not end well; the message says where and why."""


def ask(endpoint: Endpoint, path: str, deadline: float, body: Any = None) -> bytes:
    """Ask a runner, again and again until it answers.

    Raises:
        LoadError: it does not in time, its pod has failed, or it refuses.
    """
    while True:
        try:
            with new_session(endpoint) as session:
                method = "GET" if body is None else "POST"
                url = f"{endpoint.url}/{path}"
                answer = session.request(method, url, json=body, timeout=30)
            if answer.status_code == 409:
                raise LoadError(f"{endpoint.url}: has begun at another instant already")
            answer.raise_for_status()
        except requests.RequestException as error:
            ended, said = look_at_pods(endpoint)
            if ended or time.monotonic() > deadline:
                raise LoadError(f"{endpoint.url}: no answer: {said or error}") from error
            time.sleep(PAUSE_S)
        else:
            return answer.content


def look_at_pods(endpoint: Endpoint) -> tuple[bool, str]:
    """See whether a runner's pods have failed, and what they say; no answer says nothing."""
    try:
        return look(endpoint)
    except requests.RequestException:
        return False, ""


def wait_for(endpoint: Endpoint, wanted: str, deadline: float) -> None:
    """Wait for a runner's state.

    Raises:
        LoadError: it failed, or it is not there in time.
    """
    while True:
        found = json.loads(ask(endpoint, "state", deadline))
        if found["state"] == wanted:
            return
        if found["state"] == "failed":
            raise LoadError(f"{endpoint.url}: the load failed: {' / '.join(found['log'][-5:])}")
        if time.monotonic() > deadline:
            raise LoadError(f"{endpoint.url}: is {found['state']}, not {wanted}")
        time.sleep(PAUSE_S)


def start(runners: list[Endpoint], lead_s: float, patience_s: float) -> int:
    """Begin everywhere at one instant; returns it, UTC epoch ns."""
    deadline = time.monotonic() + patience_s
    for runner in runners:
        wait_for(runner, "ready", deadline)
    instant_ns = time.time_ns() + int(lead_s * 1e9)
    instant_ns -= instant_ns % 1_000_000  # what the text below can say
    start_at = datetime.fromtimestamp(instant_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    for runner in runners:
        ask(runner, "start", time.monotonic() + lead_s / 2, {"start_at": start_at})
    return instant_ns


def fetch(runner: Endpoint, out: Path, deadline: float) -> None:
    """Write a runner's files, once it is done."""
    wait_for(runner, "done", deadline)
    out.mkdir(parents=True)
    for name in json.loads(ask(runner, "files", deadline)):
        (out / name).write_bytes(ask(runner, f"files/{name}", deadline))


def finish(runners: list[Endpoint], out: Path, patience_s: float) -> None:
    """Fetch everything, and merge what came from several."""
    deadline = time.monotonic() + patience_s
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folders = [partial / str(number) for number, _ in enumerate(runners)]
    for runner, folder in zip(runners, folders, strict=True):
        fetch(runner, folder, deadline)
    whole = folders[0]
    if len(runners) > 1:
        whole = partial / "merged"
        program = str(Path(sys.executable).parent / "llm-benchmark")
        command = [program, "merge", *map(str, folders), "--out", str(whole)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LoadError(done.stderr.strip())
        spans = b"".join((folder / "spans.jsonl").read_bytes() for folder in folders)
        (whole / "spans.jsonl").write_bytes(spans)
    whole.rename(out)
    shutil.rmtree(partial)


def main() -> None:
    """Do as told; errors are one line and exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("start", "finish"))
    parser.add_argument("--runners", required=True)
    parser.add_argument("--patience", type=float, required=True)
    parser.add_argument("--lead", type=float, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        runners = [resolve("load", address) for address in args.runners.split(",")]
        if args.action == "start":
            print(start(runners, args.lead, args.patience))
        else:
            finish(runners, args.out, args.patience)
    except (LoadError, ExportError) as error:
        sys.exit(str(error).replace("\n", " "))


if __name__ == "__main__":
    main()
