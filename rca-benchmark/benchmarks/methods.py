"""What the methods cost, next to RCAEval's of the same name and to libraries that do the same work.

    RCAEVAL_PYTHON=~/rcaeval/bin/python python rca-benchmark/benchmarks/methods.py

Every figure is CPU seconds of a process of its own with one BLAS thread, once all is imported,
the best of three where it is below one second; MiB is the growth of the process's memory. All
get the same made-up case. Where RCAEVAL_PYTHON does not name the Python of an environment that
holds RCAEval 1.8.1 (see README.md), its columns say "not measured".
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
os.environ |= ONE_THREAD

from libraries import LIBRARIES, library_of  # noqa: E402 - numpy reads the variables above
from measured_case import make_case  # noqa: E402
from own_worker import WARM_UP  # noqa: E402
from peer import interpreter, write_for_peer  # noqa: E402
from tables import Row, machine, method_table, result_text, steps_line  # noqa: E402

from rca_benchmark.methods import all_methods  # noqa: E402

HERE = Path(__file__).parent
SIZES = "24x76,50x600,212x1200"
PEER_NAMES = {"random": "dummy"}
STEPS = 100
NOT_MEASURED = {"absent": True}


def main():
    """One table per size, then what it costs to import, then the machine."""
    options = parse()
    for size in options.sizes:
        measure_size(size, options)
    print(f"\n{import_seconds('rca_benchmark')}\n{import_seconds('rca_benchmark.methods')}")
    print(machine(interpreter()))


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [method.name for method in all_methods()]
    parser.add_argument(
        "--sizes", type=sizes, default=SIZES, help=f"indicators x rows (default {SIZES})"
    )
    parser.add_argument(
        "--methods",
        type=lambda text: text.split(","),
        help="names with commas between (default: all, and all in one process)",
    )
    parser.add_argument(
        "--limit", type=float, default=300, help="CPU seconds for our methods (%(default)s)"
    )
    parser.add_argument(
        "--peer-limit",
        type=float,
        default=30,
        help="CPU seconds for RCAEval and for libraries (%(default)s)",
    )
    options = parser.parse_args()
    options.together = options.methods is None
    options.methods = options.methods or names
    if unknown := set(options.methods) - set(names):
        parser.error(f"no such method: {', '.join(sorted(unknown))}")
    return options


def sizes(text):
    """Sizes such as 24x76, checked."""
    found = text.split(",")
    if not all(re.fullmatch(r"[1-9]\d*x[1-9]\d*", size) for size in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not like {SIZES}")
    return found


def measure_size(size, options):
    """Measure and print all that is known of one size."""
    columns, rows = map(int, size.split("x"))
    print(f"\n{columns} indicators x {rows} rows", flush=True)
    libraries = {}
    with tempfile.TemporaryDirectory() as folder:
        folders = Path(folder) / "case", Path(folder) / "small"
        write_for_peer(make_case(columns, rows), folders[0])
        write_for_peer(make_case(*WARM_UP), folders[1])
        table = []
        for name in options.methods:
            key = library_of(name)
            if key and key not in libraries:
                libraries[key] = own("library", key, size, options.peer_limit)
            label = LIBRARIES[key].label if key else ""
            theirs = peer(PEER_NAMES.get(name, name), folders, options.peer_limit)
            ours = own("method", name, size, options.limit)
            table.append(Row(name, ours, theirs, label, libraries.get(key, NOT_MEASURED)))
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print("\n".join(method_table(table, measured=interpreter() is not None)))
        if options.together:
            print_together(size, options)
        if "causalrca" in options.methods:
            print_steps(size, folders, options)


def print_together(size, options):
    """All methods on one case, what they share computed once."""
    for name, label in (("quick", "all that train no network"), ("all", "all")):
        result = own("together", name, size, options.limit)
        print(f"{label}, in one process, work shared: {result_text(result)} s", flush=True)


def print_steps(size, folders, options):
    """CausalRCA by optimiser step: the same number of steps for both."""
    ours = own("steps", str(STEPS), size, options.limit)
    for detector in ("on", "off"):
        theirs = peer(f"causalrca-steps:{STEPS}:{detector}", folders, options.peer_limit)
        print(steps_line(ours, theirs, STEPS, detector), flush=True)


def own(what, name, size, limit):
    """Measure in a process of this environment."""
    command = [sys.executable, HERE / "own_worker.py", what, name, size, str(limit)]
    return answer(command, limit)


def peer(name, folders, limit):
    """Measure in a process of RCAEval's environment."""
    python = interpreter()
    if python is None:
        return NOT_MEASURED
    command = [python, "-W", "ignore", HERE / "rcaeval_peer.py", name, *folders, str(limit)]
    return answer(command, limit, cwd=folders[0])


def answer(command, limit, cwd=None):
    """What the process prints on its last line."""
    patience = 4 * limit + 120
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, cwd=cwd)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {patience:g} s"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": (done.stderr.strip().splitlines() or ["no answer"])[-1]}


def import_seconds(module):
    """What importing takes, the best of three, in a line."""
    code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    seconds = min(float(run.stdout) for run in runs)
    return f"import {module}: {seconds:.2f} s"


if __name__ == "__main__":
    main()
