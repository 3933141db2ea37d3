"""Hold GPUs at a lowered power limit or clock, and put back what was there: when told, or later.

Usage: power_cap.py --state FOLDER --held FILE --lease SECONDS (--watts W | --clock MHZ) GPU-UUID...
       power_cap.py --state FOLDER --put-back GPU-UUID ...

What a GPU had is written to FOLDER/GPU-UUID.json before it is changed; FILE is written once every
GPU was changed and read back. It is put back on SIGTERM, when the lease is over, when the program
begins and finds what a killed one left, and by --put-back, which does nothing else. A driver does
not tell whether a clock was locked before: putting it back takes any lock away. Refused: what a GPU
does not take, or a GPU that is not there. Source: nvidia-smi(1), `--query-gpu`,
`--query-supported-clocks`, `--power-limit`, `--lock-gpu-clocks`, `--reset-gpu-clocks`.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

PLAIN = "--format=csv,noheader,nounits"
CLOCK_STEP_MHZ = 15
SETTLED_S = 10.0  # a clock follows its lock, a limit its setting


class CapError(Exception):
    """A GPU cannot be changed or put back; the message says which."""


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


def ask(gpu: str, what: str) -> float:
    """Return one figure of a GPU: `power.limit` in W, `clocks.sm` in MHz, ...

    Raises:
        CapError: it has none.
    """
    text = nvidia_smi(f"--id={gpu}", f"--query-gpu={what}", PLAIN).strip()
    try:
        return float(text)
    except ValueError as error:
        raise CapError(f"{gpu}: its {what} is {text}") from error


def expect(gpu: str, what: str, least: float, most: float) -> None:
    """Read a figure back until it lies within bounds.

    Raises:
        CapError: it does not.
    """
    began = time.monotonic()
    while not least <= (found := ask(gpu, what)) <= most:
        if time.monotonic() - began > SETTLED_S:
            raise CapError(f"{gpu}: its {what} is {found:g}, not {most:g}")
        time.sleep(0.2)


def set_power(gpu: str, watts: float) -> None:
    """Set a power limit and read it back."""
    nvidia_smi(f"--id={gpu}", f"--power-limit={watts:g}")
    expect(gpu, "power.limit", watts - 1, watts + 1)


def lock_clock(gpu: str, mhz: float) -> None:
    """Lock the clock and read it back; other limits may keep it lower."""
    nvidia_smi(f"--id={gpu}", f"--lock-gpu-clocks={mhz:g},{mhz:g}")
    expect(gpu, "clocks.sm", 0, mhz + CLOCK_STEP_MHZ)


def check(gpu: str, value: float, unit: str) -> None:
    """Raise CapError unless a GPU is here and takes that many W or MHz."""
    here = nvidia_smi("--query-gpu=uuid", PLAIN).split()
    if gpu not in here:
        raise CapError(f"{gpu} is not here; here are {', '.join(here)}")
    if unit == "W":
        takes = [ask(gpu, "power.min_limit"), ask(gpu, "power.max_limit")]
    else:
        clocks = nvidia_smi(f"--id={gpu}", "--query-supported-clocks=graphics", PLAIN).split()
        takes = [float(clock) for clock in clocks if clock.isdecimal()]  # else it says [N/A]
        if not takes:
            raise CapError(f"{gpu}: its clock cannot be locked")
    if not min(takes) <= value <= max(takes):
        raise CapError(f"{gpu} takes {min(takes):g} to {max(takes):g} {unit}, not {value:g} {unit}")


def undo_file(state: Path, gpu: str) -> Path:
    """Where it is kept what a GPU had."""
    return state / f"{gpu}.json"


def put_back(state: Path, gpus: list[str]) -> None:
    """Put back what the undo files say, and remove them.

    Raises:
        CapError: a GPU could not be; the others were.
    """
    problems = []
    for undo in filter(Path.exists, (undo_file(state, gpu) for gpu in gpus)):
        before = json.loads(undo.read_text())
        try:
            if "power_limit_w" in before:
                set_power(undo.stem, before["power_limit_w"])
            else:
                nvidia_smi(f"--id={undo.stem}", "--reset-gpu-clocks")
            undo.unlink()
        except CapError as error:
            problems.append(str(error))
    if problems:
        raise CapError("; ".join(problems))


def slow_down(state: Path, gpus: list[str], value: float, unit: str) -> None:
    """Lower power limits (W) or lock clocks (MHz), after writing what they were.

    Raises:
        CapError: a GPU is not there or does not take that; then none was changed.
    """
    for gpu in gpus:
        check(gpu, value, unit)
    for gpu in gpus:
        undo = undo_file(state, gpu)
        partial = undo.with_name(f".{undo.name}.partial")
        before = {"power_limit_w": ask(gpu, "power.limit")} if unit == "W" else {}
        partial.write_text(json.dumps(before))
        partial.replace(undo)
        if unit == "W":
            set_power(gpu, value)
        else:
            lock_clock(gpu, value)


def hold(args: argparse.Namespace) -> None:
    """Slow down, wait, put back."""
    # Kept until it is waited for: a handler could find its own event's lock taken, and hang.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    value, unit = (args.clock, "MHz") if args.watts is None else (args.watts, "W")
    put_back(args.state, args.gpus)
    try:
        slow_down(args.state, args.gpus, value, unit)
        args.held.touch()
        print(f"{', '.join(args.gpus)}: {value:g} {unit}", flush=True)
        signal.sigtimedwait({signal.SIGTERM}, args.lease)
    finally:
        put_back(args.state, args.gpus)


def main() -> None:
    """Do what was told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--held", type=Path)
    parser.add_argument("--lease", type=float)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--watts", type=float)
    what.add_argument("--clock", type=float)
    what.add_argument("--put-back", action="store_true")
    parser.add_argument("gpus", nargs="+")
    args = parser.parse_args()
    if not args.put_back and None in (args.held, args.lease):
        parser.error("--watts and --clock need --held and --lease")
    try:
        if args.put_back:
            put_back(args.state, args.gpus)
        else:
            hold(args)
    except CapError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
