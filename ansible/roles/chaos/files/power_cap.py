"""Hold GPUs at a lowered power limit, and put back what was there: when told, or after a while.

Usage: power_cap.py --watts W --lease SECONDS --undo FILE GPU-UUID ...

The limits that were there are written to FILE before any is changed; they are put back on SIGTERM,
when the lease is over, and when the program begins and finds such a file of one that was killed.
Refused: a limit outside what the GPU takes, or a GPU that is not there. Source: nvidia-smi(1),
`--query-gpu=uuid,power.limit,power.min_limit,power.max_limit` and `--power-limit`.
"""

import argparse
import csv
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

QUERY = "uuid,power.limit,power.min_limit,power.max_limit"


class CapError(Exception):
    """A limit cannot be set or put back; the message says which."""


def nvidia_smi(*arguments: str) -> str:
    """Run nvidia-smi.

    Raises:
        CapError: it is not there, or it failed.
    """
    try:
        command = ["nvidia-smi", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CapError("there is no nvidia-smi") from error
    if done.returncode:
        raise CapError(f"nvidia-smi {' '.join(arguments)}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def limits() -> dict[str, tuple[float, float, float]]:
    """Return each GPU's limit, and the least and greatest that it takes, in W."""
    text = nvidia_smi(f"--query-gpu={QUERY}", "--format=csv,noheader,nounits")
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return {uuid: (float(now), float(least), float(most)) for uuid, now, least, most in rows}


def set_limit(gpu: str, watts: float) -> None:
    """Set a limit and read it back.

    Raises:
        CapError: the GPU has another one afterwards.
    """
    nvidia_smi(f"--id={gpu}", f"--power-limit={watts:g}")
    if abs(limits()[gpu][0] - watts) > 1:
        raise CapError(f"{gpu}: its power limit is {limits()[gpu][0]:g} W, not {watts:g} W")


def put_back(undo: Path) -> None:
    """Set the limits that the file holds, and remove it."""
    if undo.exists():
        for gpu, watts in json.loads(undo.read_text()).items():
            set_limit(gpu, watts)
        undo.unlink()


def lower(gpus: list[str], watts: float, undo: Path) -> None:
    """Lower the limits, after writing what they were.

    Raises:
        CapError: a GPU is not there or does not take that limit; then none was changed.
    """
    found = limits()
    for gpu in gpus:
        if gpu not in found:
            raise CapError(f"{gpu} is not here; here are {', '.join(found)}")
        _, least, most = found[gpu]
        if not least <= watts <= most:
            raise CapError(f"{gpu} takes {least:g} to {most:g} W, not {watts:g} W")
    partial = undo.with_name(f".{undo.name}.partial")
    partial.write_text(json.dumps({gpu: found[gpu][0] for gpu in gpus}))
    partial.replace(undo)
    for gpu in gpus:
        set_limit(gpu, watts)


def main() -> None:
    """Lower, wait, put back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--watts", type=float, required=True)
    parser.add_argument("--lease", type=float, required=True)
    parser.add_argument("--undo", type=Path, required=True)
    parser.add_argument("gpus", nargs="+")
    args = parser.parse_args()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        put_back(args.undo)
        try:
            lower(args.gpus, args.watts, args.undo)
            print(f"{', '.join(args.gpus)}: {args.watts:g} W", flush=True)
            over.wait(args.lease)
        finally:
            put_back(args.undo)
    except CapError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
