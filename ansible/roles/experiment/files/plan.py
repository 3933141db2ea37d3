"""Turn an experiment's description into the list of cases to record, or say what is wrong with it.

Everything is checked before anything is started: names, targets, parameters, windows. A case that
is complete in the run's folder is marked so and will not be recorded again.

Usage: plan.py --experiment NAME --configs DIR --platform P --services A,B,... --run-dir DIR

Prints JSON: {"experiment", "definition_sha256",
              "cases": [{"id", "fault", "target", "parameters", "seed", "complete"}]}
"""

import argparse
import hashlib
import json
import math
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from rca_benchmark.dataset.native import is_complete

KEYS = {
    "experiment_name",
    "experiment_seed",
    "experiment_model",
    "experiment_load",
    "experiment_windows",
    "experiment_faults",
}
WINDOWS = {"warmup": 0, "normal": 10, "fault": 5, "after": 0}  # least seconds of each
LOAD = {"arrivals", "rate", "prompt_tokens", "output_tokens"}
ARRIVALS = ("constant", "poisson")


class PlanError(Exception):
    """The experiment cannot be run as described; the message says what and where."""


def choose(kind: str, name: object, valid: list[str]) -> None:
    """Raise if a name is not one of the valid ones, naming them."""
    if name not in valid:
        raise PlanError(f"unknown {kind} {name!r}; choose one of: {', '.join(sorted(valid))}")


def mapping(where: str, value: object) -> dict[str, Any]:
    """Return a value that has to be a mapping, or raise."""
    if not isinstance(value, dict):
        raise PlanError(f"{where} is no mapping")
    return value


def same_keys(where: str, found: object, expected: set[str]) -> None:
    """Raise if a value is no mapping, lacks a key or has one too many."""
    found = mapping(where, found)
    if missing := sorted(expected - set(found)):
        raise PlanError(f"{where}: missing {', '.join(missing)}")
    if unknown := sorted(set(found) - expected):
        raise PlanError(
            f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(expected))}"
        )


def number(where: str, value: object, least: float, most: float = math.inf) -> None:
    """Raise unless a value is a finite number between two bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PlanError(f"{where}: {value!r} is no number")
    if not least <= value <= most:
        raise PlanError(f"{where}: {value} lies outside {least:g} to {most:g}")


def whole(where: str, value: object, least: float, most: float = math.inf) -> None:
    """Raise unless a value is a whole number between two bounds."""
    number(where, value, least, most)
    if not isinstance(value, int):
        raise PlanError(f"{where}: {value!r} is no whole number")


def check_settings(experiment: dict[str, Any], where: str) -> None:
    """Check load, windows and seed."""
    same_keys(where, experiment, KEYS)
    whole(f"{where}: experiment_seed", experiment["experiment_seed"], 0, 2**32 - 1)
    windows, load = experiment["experiment_windows"], experiment["experiment_load"]
    same_keys(f"{where}: experiment_windows", windows, set(WINDOWS))
    for name, least in WINDOWS.items():
        whole(f"{where}: experiment_windows.{name}", windows[name], least)
    same_keys(f"{where}: experiment_load", load, LOAD)
    choose("experiment_load.arrivals", load["arrivals"], list(ARRIVALS))
    number(f"{where}: experiment_load.rate", load["rate"], 0.01)
    for name in ("prompt_tokens", "output_tokens"):
        whole(f"{where}: experiment_load.{name}", load[name], 1)
    if not isinstance(experiment["experiment_faults"], list):
        raise PlanError(f"{where}: experiment_faults is no list")


def parameters_of(fault: dict[str, Any], given: object, where: str) -> dict[str, Any]:
    """Merge given parameters over a fault's defaults; whole where the default is, within bounds."""
    known, given = fault["parameters"], mapping(f"{where}: parameters", given)
    for name, value in given.items():
        choose(f"parameter of {where}", name, list(known))
        check = whole if isinstance(known[name]["default"], int) else number
        check(f"{where}: {name}", value, known[name]["minimum"], known[name]["maximum"])
    return {name: given.get(name, about["default"]) for name, about in known.items()}


def cases_of(
    experiment: dict[str, Any], faults: dict[str, Any], services: list[str]
) -> list[dict[str, Any]]:
    """List the cases of an experiment in the order in which they are recorded."""
    cases = []
    for given in experiment["experiment_faults"]:
        entry = {"parameters": {}, **mapping("an entry of experiment_faults", given)}
        same_keys("experiment_faults", entry, {"fault", "target", "repetitions", "parameters"})
        choose("fault", entry["fault"], list(faults))
        fault = faults[entry["fault"]]
        targets = [s for s in services if any(fnmatch(s, pattern) for pattern in fault["targets"])]
        choose(f"target of fault {entry['fault']}", entry["target"], targets)
        whole(f"{entry['fault']}: repetitions", entry["repetitions"], 1)
        parameters = parameters_of(fault, entry["parameters"], entry["fault"])
        for repetition in range(1, entry["repetitions"] + 1):
            case_id = f"{entry['target']}_{entry['fault']}_{repetition}"
            digest = hashlib.sha256(f"{experiment['experiment_seed']}/{case_id}".encode()).digest()
            cases.append(
                {
                    "id": case_id,
                    "fault": entry["fault"],
                    "target": entry["target"],
                    "parameters": parameters,
                    "seed": int.from_bytes(digest[:4], "big"),
                }
            )
    if len({case["id"] for case in cases}) != len(cases):
        raise PlanError("experiment_faults: a fault and target are listed twice; use repetitions")
    return cases


def read(path: Path) -> dict[str, Any]:
    """Read a YAML mapping."""
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise PlanError(f"{path} is no YAML: {error}".replace("\n", " ")) from error
    return mapping(str(path), content)


def plan(
    name: str, configs: Path, platform: str, services: list[str], run_dir: Path
) -> dict[str, Any]:
    """Return the plan of one experiment.

    Raises:
        PlanError: something is wrong with it, or the run's folder belongs to another experiment.
    """
    choose("experiment", name, [path.stem for path in configs.glob("experiments/*.yaml")])
    path = configs / "experiments" / f"{name}.yaml"
    experiment = read(path)
    check_settings(experiment, path.name)
    choose("model", experiment["experiment_model"], [p.stem for p in configs.glob("models/*.yaml")])
    model = read(configs / "models" / f"{experiment['experiment_model']}.yaml")
    if platform not in (model.get("model_platforms") or []):
        raise PlanError(
            f"model {experiment['experiment_model']} does not run on platform {platform}"
        )
    cases = cases_of(experiment, read(configs / "faults.yaml")["faults"], services)
    definition = json.dumps([experiment, model, cases], sort_keys=True)
    digest = hashlib.sha256(definition.encode()).hexdigest()
    manifest = run_dir / "manifest.json"
    if manifest.exists() and json.loads(manifest.read_text())["definition_sha256"] != digest:
        raise PlanError(
            f"{run_dir} was recorded with another definition of {name}; "
            "choose another run_id, or move that folder away"
        )
    for case in cases:
        case["complete"] = is_complete(run_dir / "cases" / case["id"])
    return {"experiment": experiment, "definition_sha256": digest, "cases": cases}


def main() -> None:
    """Print the plan, or one line about what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--configs", type=Path, required=True)
    parser.add_argument("--platform", required=True)
    parser.add_argument("--services", required=True)
    parser.add_argument("--run-dir", type=Path, required=True)
    args = parser.parse_args()
    services = args.services.split(",")
    try:
        made = plan(args.experiment, args.configs, args.platform, services, args.run_dir)
    except PlanError as error:
        sys.exit(str(error))
    print(json.dumps(made))


if __name__ == "__main__":
    main()
