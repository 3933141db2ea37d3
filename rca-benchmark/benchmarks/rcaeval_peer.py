"""One method of RCAEval 1.8.1, measured. Runs in RCAEval's own interpreter, see methods.py.

    python rcaeval_peer.py METHOD FOLDER WARM_UP_FOLDER SECONDS

The folders hold what ``write_for_peer`` of peer.py writes. The result is the last line of stdout.
"""

import argparse
import contextlib
import importlib
import io
import json
import sys
from pathlib import Path

import pandas as pd
from stopwatch import measure

FROM_SPANS = ("microrank", "tracerca")
FROM_ALL = ("mmbaro", "mmnsigma", "mmcirca", "mmrcd", "torai")
FALLBACK = "returning the unranked column order"
STEPS = "causalrca-steps"


class FellBackError(Exception):
    """RCAEval answered with the order of the columns."""


def main():
    """Measure and print."""
    method, folder, warm_up, seconds = sys.argv[1:]
    function = find(method)
    if function is None:
        result = {"absent": True}
    elif isinstance(function, str):
        result = {"error": function}
    else:
        result = measure(
            lambda: call(method, function, Path(folder)),
            lambda: call(method, function, Path(warm_up)),
            float(seconds),
        )
    print(f"\n{json.dumps(result)}")


def find(method):
    """The function; None where RCAEval has no such method, a text where it cannot be imported."""
    if method.startswith(STEPS):
        return steps(*method.split(":")[1:])
    package = imported_package()
    function = getattr(package, method, None)
    if callable(function):
        return function
    try:
        module = importlib.import_module(f"RCAEval.e2e.{method}")
    except ModuleNotFoundError as error:
        return None if str(error.name).startswith("RCAEval") else f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being imported
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return getattr(module, method, None)


def imported_package():
    """RCAEval's methods; it asks for certain versions of Python, and runs on those between too."""
    importlib.import_module("RCAEval.utility").is_py312 = lambda: True
    return importlib.import_module("RCAEval.e2e")


def call(method, function, folder):
    """The call, as RCAEval's own script makes it; the tables are read beforehand."""
    about = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    inject_time = about["inject_time"]
    tables = {
        name: pd.read_csv(folder / f"{name}.csv", float_precision="round_trip")
        for name in ("metric", "logts", "tracets_err", "tracets_lat", "traces")
    }
    data, dataset = tables["metric"], "made-up"
    if method in FROM_SPANS:
        data, inject_time = tables["traces"], inject_time * 1_000_000
    elif method in FROM_ALL:
        data, dataset = tables, "re2-ob"
    arguments = {
        "dataset": dataset,
        "sli": about["sli"],
        "dk_select_useful": False,
        "n_iter": tables["metric"].shape[1] - 1,
        "anomalies": None,
        "verbose": False,
        "args": argparse.Namespace(root_path=str(folder), data_path="metric.csv"),
    }

    def run():
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            function(data, inject_time, **arguments)
        if FALLBACK in said.getvalue():
            line = next(line for line in said.getvalue().splitlines() if FALLBACK in line)
            raise FellBackError(line.split("failed (", 1)[-1].rsplit(");", 1)[0])

    return run


def steps(count, detector):
    """CausalRCA stopped after so many optimiser steps; ``detector`` is on, as shipped, or off."""
    import torch

    function = imported_package().causalrca
    settings = sys.modules["RCAEval.e2e.causalrca"].CONFIG
    settings.epochs, settings.k_max_iter = int(count), 1
    if detector == "off":
        torch.autograd.set_detect_anomaly(False)
    return function


if __name__ == "__main__":
    main()
