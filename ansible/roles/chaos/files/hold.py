"""Hold a setting of the kernel for as long as this program runs, and take it back at its end.

Usage: hold.py --apply "CMD" --revert "CMD" [-- PROGRAM ...]

Runs CMD of --apply, then PROGRAM (else nothing), until it is ended by SIGTERM or SIGINT; then CMD
of --revert. What a SIGKILL leaves behind has to be taken back by others.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys

MARK = "RCA_FAULT_ID"


def unmarked() -> dict[str, str]:
    """Return the environment without the mark by which a fault's processes are ended."""
    return {name: value for name, value in os.environ.items() if name != MARK}


def hold(apply: str, revert: str, program: list[str]) -> None:
    """Apply, wait, revert.

    Raises:
        SystemExit: a command or the program failed.
    """
    child = None
    try:
        subprocess.run(shlex.split(apply), check=True)
        if program:
            child = subprocess.Popen(program)
            sys.exit(child.wait())
        while True:
            signal.pause()
    except subprocess.CalledProcessError as error:
        sys.exit(f"hold.py: {error}")
    finally:
        if child is not None:
            child.terminate()
            child.wait()
        subprocess.run(shlex.split(revert), env=unmarked(), start_new_session=True)


def main() -> None:
    """Hold until ended."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apply", required=True)
    parser.add_argument("--revert", required=True)
    args = parser.parse_args(sys.argv[1:end])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    hold(args.apply, args.revert, sys.argv[end + 1 :])


if __name__ == "__main__":
    main()
