"""Turn an experiment's description into the list of cases to record, or say what is wrong with it.

Everything is checked before anything is started: names, targets, parameters, windows. A case that
is complete in the run's folder is marked so and will not be recorded again.

Usage: plan.py --experiment NAME --configs DIR --platform P --services A,B,... --run-dir DIR
               [--overrides JSON] [--limit N]
       plan.py --fault FAULT --target SERVICE --parameters JSON --configs DIR --platform P
               --services A,B,...

The first prints JSON: {"experiment", "definition_sha256", "services",
              "mechanisms": {fault: [names, best first]},
              "all_cases": [{"id", "fault", "target", "parameters", "seed"}],
              "cases": [the same, and "complete"]}

A control is a case without fault and target. --overrides replaces keys of the description, those
of a mapping one by one. --limit keeps the first N cases in their order. The second checks one fault
to be made by hand and prints {"parameters", "mechanisms"}.
"""

import argparse
import hashlib
import json
import math
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import yaml

KEYS = {
    "experiment_name",
    "experiment_seed",
    "experiment_model",
    "experiment_load",
    "experiment_windows",
    "experiment_faults",
    "experiment_controls",  # how many cases without a fault
    "experiment_order",
    "experiment_parallelism",
}
OPTIONAL = {"experiment_controls": 0, "experiment_order": "listed", "experiment_parallelism": {}}
ORDERS = ("listed", "random")
# How the model is spread: replicas, GPUs of a pod that share each layer, pods that share the layers
# of a replica, and whether Ray's head is one of the pods that serve, as in the study.
PARALLELISM = {"data": 2, "tensor": 1, "pipeline": 1, "head_serves": False}
# Without controls nobody can tell what the stack does by itself; a demonstration may go without.
MOST_WITHOUT_CONTROL = 4
# What a minute of recording leaves: the case and its work folder, logs and Prometheus' data.
DISK_MIB_PER_MINUTE = 12
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
    whole(f"{where}: experiment_controls", experiment["experiment_controls"], 0)
    choose("experiment_order", experiment["experiment_order"], list(ORDERS))
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
    parallelism = experiment["experiment_parallelism"]
    same_keys(f"{where}: experiment_parallelism", parallelism, set(PARALLELISM))
    for name in ("data", "tensor", "pipeline"):
        whole(f"{where}: experiment_parallelism.{name}", parallelism[name], 1, 64)
    if not isinstance(parallelism["head_serves"], bool):
        raise PlanError(f"{where}: experiment_parallelism.head_serves is neither true nor false")


def replicas_in(services: list[str]) -> int:
    """Count the services that only serve."""
    return sum(service.startswith("ray-replicas-") for service in services)


def services_of(parallelism: dict[str, Any], platform: str, given: list[str]) -> list[str]:
    """Return the services of the stack: those that the local platform has, or as many as are asked.

    Raises:
        PlanError: the local platform has other replicas than the experiment asks for.
    """
    pods = parallelism["data"] * parallelism["pipeline"] - parallelism["head_serves"]
    if platform == "kubernetes":
        return ["nginx-proxy", "ray-head", *(f"ray-replicas-{i}" for i in range(pods))]
    there = replicas_in(given)
    if parallelism != {**PARALLELISM, "data": there}:
        raise PlanError(
            f"experiment_parallelism: platform {platform} serves data: {there} with tensor: 1, "
            "pipeline: 1 and head_serves: false; its replicas are the inventory's pods"
        )
    return given


def parameters_of(
    fault: dict[str, Any], given: object, platform: str, where: str
) -> dict[str, Any]:
    """Merge given parameters over a fault's defaults; whole where the default is, within bounds."""
    known = {
        name: about
        for name, about in fault["parameters"].items()
        if platform in about.get("platforms", [platform])
    }
    given = mapping(f"{where}: parameters", given)
    for name, value in given.items():
        choose(f"parameter of {where} on platform {platform}", name, list(known))
        check = whole if isinstance(known[name]["default"], int) else number
        check(f"{where}: {name}", value, known[name]["minimum"], known[name]["maximum"])
    return {name: given.get(name, about["default"]) for name, about in known.items()}


def derived_number(*parts: object) -> int:
    """Return 32 bits that follow from the parts alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big")


def fault_cases(
    given: object, faults: dict[str, Any], services: list[str], platform: str
) -> list[dict[str, Any]]:
    """List the cases of one entry of experiment_faults: its targets times its repetitions."""
    entry = {"parameters": {}, **mapping("an entry of experiment_faults", given)}
    same_keys("experiment_faults", entry, {"fault", "targets", "repetitions", "parameters"})
    name = entry["fault"]
    choose("fault", name, list(faults))
    if platform not in faults[name]["mechanisms"]:
        raise PlanError(f"fault {name} cannot be made on platform {platform}")
    patterns = faults[name]["targets"]
    valid = [s for s in services if any(fnmatch(s, pattern) for pattern in patterns)]
    if not isinstance(entry["targets"], list) or not entry["targets"]:
        raise PlanError(f"{name}: targets is no list of services")
    for target in entry["targets"]:
        choose(f"target of fault {name}", target, valid)
    whole(f"{name}: repetitions", entry["repetitions"], 1)
    parameters = parameters_of(faults[name], entry["parameters"], platform, name)
    return [
        {
            "id": f"{target}_{name}_{repetition}",
            "fault": name,
            "target": target,
            "parameters": parameters,
        }
        for target in entry["targets"]
        for repetition in range(1, entry["repetitions"] + 1)
    ]


def cases_of(
    experiment: dict[str, Any], faults: dict[str, Any], services: list[str], platform: str
) -> list[dict[str, Any]]:
    """List the cases of an experiment in the order in which they are recorded."""
    given = experiment["experiment_faults"]
    cases = [case for entry in given for case in fault_cases(entry, faults, services, platform)]
    if len({case["id"] for case in cases}) != len(cases):
        raise PlanError("experiment_faults: a fault and target are listed twice; use repetitions")
    controls = experiment["experiment_controls"]
    if len(cases) > MOST_WITHOUT_CONTROL and not controls:
        raise PlanError(
            f"experiment_controls: {len(cases)} faults and no control; without any, nobody can "
            "tell what the stack does by itself"
        )
    nothing: dict[str, Any] = {"fault": None, "target": None, "parameters": {}}
    cases += [{"id": f"control_{number}", **nothing} for number in range(1, controls + 1)]
    seed = experiment["experiment_seed"]
    if experiment["experiment_order"] == "random":
        cases.sort(key=lambda case: derived_number(seed, "order", case["id"]))
    return [{**case, "seed": derived_number(seed, case["id"])} for case in cases]


def is_recorded(case: Path) -> bool:
    """Tell whether a case is there, and whole."""
    if not case.exists():
        return False
    from rca_benchmark.dataset.native import is_complete  # which takes most of a second

    return is_complete(case)


def check_disk(run_dir: Path, cases: list[dict[str, Any]], windows: dict[str, int]) -> None:
    """Raise if the disk below the run's folder cannot hold what is still to be recorded."""
    minutes = sum(windows.values()) * sum(not case["complete"] for case in cases) / 60
    folder = run_dir
    while not folder.exists():
        folder = folder.parent
    needed, free = int(minutes * DISK_MIB_PER_MINUTE), shutil.disk_usage(folder).free >> 20
    if free < needed:
        raise PlanError(
            f"{run_dir} needs about {needed} MiB of free disk for {minutes:.0f} minutes of "
            f"recording, {free} MiB are free"
        )


def check_model(configs: Path, name: str, platform: str, load: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a model that the platform can serve with this load."""
    choose("model", name, [p.stem for p in configs.glob("models/*.yaml")])
    model = read(configs / "models" / f"{name}.yaml")
    try:
        jsonschema.validate(model, read(configs / "schemas" / "model.yaml"))
    except jsonschema.ValidationError as error:
        raise PlanError(f"models/{name}.yaml: {error.json_path}: {error.message}") from error
    if platform not in model["model_platforms"]:
        raise PlanError(f"model {name} does not run on platform {platform}")
    longest, tokens = model["model_engine"]["max_model_len"], load["prompt_tokens"]
    if tokens + load["output_tokens"] > longest:
        raise PlanError(
            f"experiment_load: {tokens} tokens of prompt and {load['output_tokens']} of answer are "
            f"more than the {longest} (max_model_len) that {name} is served with"
        )
    return model


def from_yaml(where: str, text: str) -> object:
    """Read YAML, or raise with one line."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PlanError(f"{where} is no YAML: {error}".replace("\n", " ")) from error


def read(path: Path) -> dict[str, Any]:
    """Read a YAML mapping."""
    return mapping(str(path), from_yaml(str(path), path.read_text()))


def overridden(experiment: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Replace keys of an experiment; of a mapping only the keys that are given.

    A command line gives everything as text: where text is not what stands there, it is YAML.
    """
    result = dict(experiment)
    for name, value in overrides.items():
        there = experiment.get(name)
        if isinstance(value, str) and not isinstance(there, str):
            value = from_yaml(name, value)
        if isinstance(value, dict) and isinstance(there, dict):
            value = {**there, **value}
        result[name] = value
    return result


def description(
    path: Path, overrides: dict[str, Any], platform: str, services: list[str]
) -> dict[str, Any]:
    """Return an experiment's settings, complete and checked, but for its faults and its model."""
    where = f"{path.name} with overrides" if overrides else path.name
    experiment = overridden({**OPTIONAL, **read(path)}, overrides)
    parallelism = mapping(f"{where}: experiment_parallelism", experiment["experiment_parallelism"])
    there = {"data": replicas_in(services)} if platform == "local" else {}
    experiment["experiment_parallelism"] = {**PARALLELISM, **there, **parallelism}
    check_settings(experiment, where)
    return experiment


def plan(
    name: str,
    configs: Path,
    platform: str,
    services: list[str],
    run_dir: Path,
    limit: int | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the plan of one experiment, or of its first cases.

    Raises:
        PlanError: something is wrong with it, or the run's folder belongs to another experiment.
    """
    choose("experiment", name, [path.stem for path in configs.glob("experiments/*.yaml")])
    path = configs / "experiments" / f"{name}.yaml"
    experiment = description(path, overrides or {}, platform, services)
    load = experiment["experiment_load"]
    model = check_model(configs, experiment["experiment_model"], platform, load)
    services = services_of(experiment["experiment_parallelism"], platform, services)
    faults = read(configs / "faults.yaml")["faults"]
    all_cases = cases_of(experiment, faults, services, platform)
    definition = json.dumps([experiment, model, all_cases], sort_keys=True)
    digest = hashlib.sha256(definition.encode()).hexdigest()
    manifest = run_dir / "manifest.json"
    if manifest.exists() and json.loads(manifest.read_text())["definition_sha256"] != digest:
        raise PlanError(
            f"{run_dir} was recorded with another definition of {name}; "
            "choose another run_id, or move that folder away"
        )
    cases = [
        {**case, "complete": is_recorded(run_dir / "cases" / case["id"])}
        for case in all_cases[:limit]
    ]
    check_disk(run_dir, cases, experiment["experiment_windows"])
    used = sorted({case["fault"] for case in cases if case["fault"]})
    return {
        "experiment": experiment,
        "definition_sha256": digest,
        "services": services,
        "mechanisms": {fault: faults[fault]["mechanisms"][platform] for fault in used},
        "all_cases": all_cases,
        "cases": cases,
    }


def json_mapping(where: str, text: str) -> dict[str, Any]:
    """Read a JSON object, or raise with one line."""
    try:
        return mapping(where, json.loads(text))
    except ValueError as error:
        raise PlanError(f"{where}: no JSON: {error}") from error


def one_fault(
    configs: Path, platform: str, services: list[str], fault: str, target: str, parameters: str
) -> dict[str, Any]:
    """Return all parameters of a fault and its mechanisms.

    Raises:
        PlanError: the fault, its target or a parameter is none that can be.
    """
    faults = read(configs / "faults.yaml")["faults"]
    given = json_mapping("the parameters", parameters)
    entry = {"fault": fault, "targets": [target], "repetitions": 1, "parameters": given}
    [case] = fault_cases(entry, faults, services, platform)
    return {
        "parameters": case["parameters"],
        "mechanisms": {fault: faults[fault]["mechanisms"][platform]},
    }


def main() -> None:
    """Print the plan, or one line about what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--experiment")
    what.add_argument("--fault")
    for name in ("--target", "--parameters"):
        parser.add_argument(name, default="{}")
    parser.add_argument("--configs", type=Path, required=True)
    parser.add_argument("--platform", required=True)
    parser.add_argument("--services", default="")
    parser.add_argument("--run-dir", type=Path, default=Path())
    parser.add_argument("--overrides", default="{}")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    where = args.configs, args.platform, args.services.split(",")
    try:
        if args.fault:
            made = one_fault(*where, args.fault, args.target, args.parameters)
        else:
            overrides = json_mapping("the overrides", args.overrides)
            made = plan(args.experiment, *where, args.run_dir, args.limit, overrides)
    except PlanError as error:
        sys.exit(str(error))
    print(json.dumps(made))


if __name__ == "__main__":
    main()
