"""The plan: which cases an experiment has, and one line for each way to describe it wrongly."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import demo_experiment
import pytest
import yaml
from demo_experiment import CASES, EXPERIMENT, MODEL, PARALLELISM, SERVICES

Plan = Callable[..., dict[str, Any]]


def put(tree: Any, where: str, value: object) -> Any:
    """Return a copy of a tree with the value at `where` (keys and indices, dotted) replaced."""
    tree = copy.deepcopy(tree)
    *steps, last = (int(key) if key.isdigit() else key for key in where.split("."))
    node = tree
    for step in steps:
        node = node[step]
    node[last] = value
    return tree


@pytest.fixture
def planner(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("plan")


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """Write the configuration of one experiment and return its folder."""
    return demo_experiment.write_configs(tmp_path / "configs")


@pytest.fixture
def plan(planner: ModuleType, configs: Path, tmp_path: Path) -> Plan:
    """Plan the experiment `demo`, as it stands or with another description."""

    def make(experiment: object = EXPERIMENT, platform: str = "local") -> dict[str, Any]:
        (configs / "experiments/demo.yaml").write_text(yaml.safe_dump(experiment))
        made: dict[str, Any] = planner.plan("demo", configs, platform, SERVICES, tmp_path / "run")
        return made

    return make


def refusal(planner: ModuleType, plan: Plan, *arguments: Any) -> str:
    """Return the message with which a plan is refused: one line."""
    with pytest.raises(planner.PlanError) as caught:
        plan(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_cases_come_in_order_with_merged_parameters(plan: Plan) -> None:
    made = plan()
    assert made["experiment"] == EXPERIMENT
    assert [case["id"] for case in made["cases"]] == [
        "ray-replicas-1_cpu_1",
        "ray-replicas-1_cpu_2",
        "ray-head_delay_1",
    ]
    assert [case["parameters"] for case in made["cases"]] == [
        {"workers": 2},
        {"workers": 2},
        {"ms": 7.5, "jitter": 10},
    ]
    assert all(case["complete"] is False for case in made["cases"])


def test_seeds_follow_from_the_experiments_seed_alone(plan: Plan) -> None:
    seeds = [case["seed"] for case in plan()["cases"]]
    assert seeds == [
        1085849482,
        3139430357,
        2530998899,
    ]  # the first 32 bits of sha256("1/<case id>")
    others = put(EXPERIMENT, "experiment_faults.0.repetitions", 1)
    assert plan(others)["cases"][0]["seed"] == seeds[0]
    assert plan(EXPERIMENT | {"experiment_seed": 2})["cases"][0]["seed"] != seeds[0]


def test_the_definition_changes_with_what_is_recorded(plan: Plan, configs: Path) -> None:
    first = plan()["definition_sha256"]
    assert plan()["definition_sha256"] == first
    assert plan(EXPERIMENT | {"experiment_seed": 2})["definition_sha256"] != first
    model = configs / "models" / "small.yaml"
    model.write_text(model.read_text() + "model_quantization: fp8\n")
    assert plan()["definition_sha256"] != first


def test_complete_cases_are_marked(
    plan: Plan, planner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = tmp_path / "run" / "cases" / "ray-replicas-1_cpu_2"
    monkeypatch.setattr(planner, "is_recorded", lambda folder: folder == done)
    made = plan()
    assert [case["complete"] for case in made["cases"]] == [False, True, False]


def test_a_run_goes_on_only_with_its_own_definition(
    plan: Plan, planner: ModuleType, tmp_path: Path
) -> None:
    manifest = tmp_path / "run" / "manifest.json"
    manifest.parent.mkdir()
    digest = plan()["definition_sha256"]
    manifest.write_text(json.dumps({"definition_sha256": digest}))
    assert plan()["definition_sha256"] == digest
    message = refusal(planner, plan, EXPERIMENT | {"experiment_seed": 2})
    assert message == (
        f"{tmp_path / 'run'} was recorded with another definition of demo; "
        "choose another run_id, or move that folder away"
    )


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("experiment_model", "big", "unknown model 'big'; choose one of: large, small"),
        ("experiment_faults.0.fault", "gpu", "unknown fault 'gpu'; choose one of: cpu, delay"),
        (
            "experiment_faults.0.targets",
            ["ray-replicas-0", "ray-head"],
            "unknown target of fault cpu 'ray-head'; choose one of: ray-replicas-0, ray-replicas-1",
        ),
        (
            "experiment_faults.0.parameters",
            {"threads": 1},
            "unknown parameter of cpu on platform local 'threads'; choose one of: workers",
        ),
        (
            "experiment_order",
            "alphabetical",
            "unknown experiment_order 'alphabetical'; choose one of: listed, random",
        ),
        (
            "experiment_load.arrivals",
            "bursty",
            "unknown experiment_load.arrivals 'bursty'; choose one of: constant, poisson",
        ),
    ],
)
def test_an_unknown_name_comes_with_the_valid_ones(
    plan: Plan, planner: ModuleType, where: str, value: object, message: str
) -> None:
    assert refusal(planner, plan, put(EXPERIMENT, where, value)) == message


def test_an_unknown_experiment_comes_with_the_valid_ones(
    planner: ModuleType, configs: Path, tmp_path: Path
) -> None:
    with pytest.raises(planner.PlanError) as caught:
        planner.plan("demos", configs, "local", SERVICES, tmp_path)
    assert str(caught.value) == "unknown experiment 'demos'; choose one of: demo, other"


@pytest.mark.parametrize(("model", "platform"), [("small", "kubernetes"), ("large", "local")])
def test_a_model_runs_on_its_platforms_only(
    plan: Plan, planner: ModuleType, model: str, platform: str
) -> None:
    message = refusal(planner, plan, EXPERIMENT | {"experiment_model": model}, platform)
    assert message == f"model {model} does not run on platform {platform}"


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("experiment_seed", "1", "demo.yaml: experiment_seed: '1' is no number"),
        ("experiment_seed", True, "demo.yaml: experiment_seed: True is no number"),
        ("experiment_seed", 1.0, "demo.yaml: experiment_seed: 1.0 is no whole number"),
        ("experiment_seed", -1, "experiment_seed: -1 lies outside 0 to 4.29497e+09"),
        ("experiment_parallelism.data", 0, "experiment_parallelism.data: 0 lies outside 1 to 64"),
        ("experiment_load.rate", 0, "experiment_load.rate: 0 lies outside 0.01 to inf"),
        ("experiment_load.rate", float("inf"), "experiment_load.rate: inf is no number"),
        ("experiment_load.rate", float("nan"), "experiment_load.rate: nan is no number"),
        ("experiment_load.rate", None, "experiment_load.rate: None is no number"),
        ("experiment_load.prompt_tokens", 8.5, "prompt_tokens: 8.5 is no whole number"),
        ("experiment_load.output_tokens", 0, "output_tokens: 0 lies outside 1 to inf"),
        ("experiment_windows.warmup", -1, "windows.warmup: -1 lies outside 0 to inf"),
        ("experiment_windows.normal", 9, "windows.normal: 9 lies outside 10 to inf"),
        ("experiment_windows.fault", 4, "windows.fault: 4 lies outside 5 to inf"),
        ("experiment_windows.after", 0.5, "windows.after: 0.5 is no whole number"),
        ("experiment_faults.0.repetitions", 0, "cpu: repetitions: 0 lies outside 1 to inf"),
        ("experiment_faults.0.parameters", {"workers": 1.5}, "workers: 1.5 is no whole number"),
        ("experiment_faults.0.repetitions", 1.5, "cpu: repetitions: 1.5 is no whole number"),
        ("experiment_controls", -1, "demo.yaml: experiment_controls: -1 lies outside 0 to inf"),
        ("experiment_controls", 0.5, "experiment_controls: 0.5 is no whole number"),
        ("experiment_faults.1.parameters.ms", 101, "delay: ms: 101 lies outside 1 to 100"),
        ("experiment_faults.1.parameters.ms", "7", "delay: ms: '7' is no number"),
    ],
)
def test_a_bad_number_is_named_with_its_bounds(
    plan: Plan, planner: ModuleType, where: str, value: object, message: str
) -> None:
    assert refusal(planner, plan, put(EXPERIMENT, where, value)).endswith(message)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("experiment_load.rte", 1, "demo.yaml: experiment_load: unknown rte; known are arrivals, "),
        ("experiment_windows.normal2", 1, "demo.yaml: experiment_windows: unknown normal2; "),
        (
            "experiment_extra",
            1,
            "demo.yaml: unknown experiment_extra; known are experiment_controls",
        ),
        ("experiment_load", {"rate": 1}, "experiment_load: missing arrivals, output_tokens, "),
        ("experiment_windows", {}, "experiment_windows: missing after, fault, normal, warmup"),
        (
            "experiment_faults.0",
            {"fault": "cpu"},
            "experiment_faults: missing repetitions, targets",
        ),
        ("experiment_faults.0.targets", "ray-head", "cpu: targets is no list of services"),
        ("experiment_faults.0.targets", [], "cpu: targets is no list of services"),
        ("experiment_faults.0.when", 1, "experiment_faults: unknown when; known are fault, "),
        ("experiment_windows", None, "demo.yaml: experiment_windows is no mapping"),
        ("experiment_load", [1], "demo.yaml: experiment_load is no mapping"),
        ("experiment_faults", None, "demo.yaml: experiment_faults is no list"),
        ("experiment_faults.0", "cpu", "an entry of experiment_faults is no mapping"),
        ("experiment_faults.0.parameters", None, "cpu: parameters is no mapping"),
    ],
)
def test_a_wrong_shape_is_named_with_its_place(
    plan: Plan, planner: ModuleType, where: str, value: object, message: str
) -> None:
    assert message in refusal(planner, plan, put(EXPERIMENT, where, value))


def test_a_missing_key_is_named(plan: Plan, planner: ModuleType) -> None:
    less = {k: v for k, v in EXPERIMENT.items() if k != "experiment_model"}
    assert refusal(planner, plan, less) == "demo.yaml: missing experiment_model"


def test_a_fault_and_target_are_listed_once(plan: Plan, planner: ModuleType) -> None:
    twice = EXPERIMENT | {"experiment_faults": [*CASES, *CASES]}
    assert refusal(planner, plan, twice) == (
        "experiment_faults: a fault and target are listed twice; use repetitions"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "is no YAML: "), ("- 1\n", "demo.yaml is no mapping"), ("", "is no mapping")],
)
def test_a_file_that_is_no_mapping_is_named(
    planner: ModuleType, configs: Path, tmp_path: Path, text: str, message: str
) -> None:
    (configs / "experiments" / "demo.yaml").write_text(text)
    with pytest.raises(planner.PlanError) as caught:
        planner.plan("demo", configs, "local", SERVICES, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_program_prints_the_plan_or_one_line(
    run_program: Callable[..., subprocess.CompletedProcess[str]], configs: Path, plan: Plan
) -> None:
    expected = plan()
    options = [f"--configs={configs}", "--platform=local", f"--services={','.join(SERVICES)}"]
    run_dir = f"--run-dir={configs.parent / 'run'}"
    done = run_program("plan", "--experiment=demo", *options, run_dir)
    assert (done.returncode, json.loads(done.stdout)) == (0, expected)
    refused = run_program("plan", "--experiment=none", *options, run_dir)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "unknown experiment 'none'; choose one of: demo, other\n"


def test_one_entry_covers_its_targets_times_its_repetitions(plan: Plan) -> None:
    entry = {"fault": "cpu", "targets": ["ray-replicas-1", "ray-replicas-0"], "repetitions": 2}
    made = plan(EXPERIMENT | {"experiment_faults": [entry]})
    assert [case["id"] for case in made["cases"]] == [
        "ray-replicas-1_cpu_1",
        "ray-replicas-1_cpu_2",
        "ray-replicas-0_cpu_1",
        "ray-replicas-0_cpu_2",
    ]


def test_a_control_has_neither_fault_nor_target(plan: Plan) -> None:
    control = plan(EXPERIMENT | {"experiment_controls": 2})["cases"][-1]
    del control["seed"], control["complete"]
    assert control == {"id": "control_2", "fault": None, "target": None, "parameters": {}}


def test_many_faults_need_a_control(plan: Plan, planner: ModuleType) -> None:
    many = put(EXPERIMENT, "experiment_faults.0.repetitions", 4)
    assert refusal(planner, plan, many) == (
        "experiment_controls: 5 faults and no control; without any, nobody can tell what the "
        "stack does by itself"
    )
    assert len(plan(many | {"experiment_controls": 1})["cases"]) == 6


def test_the_random_order_follows_from_the_seed_alone(plan: Plan) -> None:
    def order(seed: int) -> list[str]:
        changes = {"experiment_order": "random", "experiment_seed": seed, "experiment_controls": 20}
        return [case["id"] for case in plan(EXPERIMENT | changes)["cases"]]

    assert order(1) == order(1)
    assert sorted(order(1)) == sorted(order(2))
    assert order(1) != order(2)
    assert order(1) != [*(c for c in order(1) if "control" not in c), *sorted(order(1))[:20]]


def test_only_the_first_cases_are_recorded_when_limited(
    plan: Plan, planner: ModuleType, configs: Path, tmp_path: Path
) -> None:
    whole = plan()
    made = planner.plan("demo", configs, "local", SERVICES, tmp_path / "run", 1)
    assert made["cases"] == whole["cases"][:1]
    assert made["all_cases"] == whole["all_cases"]
    assert [{**case, "complete": False} for case in made["all_cases"]] == whole["cases"]
    assert made["definition_sha256"] == whole["definition_sha256"]
    assert made["mechanisms"] == {"cpu": ["stress-ng"]}


def test_the_mechanisms_are_those_of_the_platform(plan: Plan) -> None:
    assert plan()["mechanisms"] == {"cpu": ["stress-ng"], "delay": ["netem", "nfqueue"]}
    large = EXPERIMENT | {"experiment_model": "large", "experiment_faults": CASES[:1]}
    made = plan(large, "kubernetes")
    assert made["mechanisms"] == {"cpu": ["StressChaos"]}
    assert made["cases"][0]["parameters"] == {"workers": 2, "power": 150}


def test_a_fault_is_refused_where_it_has_no_mechanism(plan: Plan, planner: ModuleType) -> None:
    message = refusal(planner, plan, EXPERIMENT | {"experiment_model": "large"}, "kubernetes")
    assert message == "fault delay cannot be made on platform kubernetes"


def test_a_disk_that_is_too_small_is_named(
    plan: Plan, planner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    windows = {"warmup": 0, "normal": 10, "fault": 30, "after": 20}
    monkeypatch.setattr(planner.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    message = refusal(planner, plan, EXPERIMENT | {"experiment_windows": windows})
    needed = 3 * planner.DISK_MIB_PER_MINUTE
    assert message == (
        f"{tmp_path / 'run'} needs about {needed} MiB of free disk for 3 minutes of recording, "
        "1 MiB are free"
    )


def test_a_model_that_breaks_the_schema_is_named(
    plan: Plan, planner: ModuleType, configs: Path
) -> None:
    model = MODEL | {"model_platforms": ["local"], "model_source": {"huggingface": "small"}}
    (configs / "models/small.yaml").write_text(yaml.safe_dump(model))
    assert refusal(planner, plan).startswith("models/small.yaml: $.model_source: ")


def test_a_load_longer_than_the_model_is_refused(plan: Plan, planner: ModuleType) -> None:
    message = refusal(planner, plan, put(EXPERIMENT, "experiment_load.prompt_tokens", 29))
    assert message == (
        "experiment_load: 29 tokens of prompt and 4 of answer are more than the 32 (max_model_len) "
        "that small is served with"
    )


def test_a_cluster_has_the_services_that_are_asked_for(plan: Plan) -> None:
    experiment = EXPERIMENT | {
        "experiment_model": "large",
        "experiment_faults": CASES[:1],
        "experiment_parallelism": {"data": 3, "head_serves": True},
    }
    made = plan(experiment, "kubernetes")
    assert made["services"] == ["nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1"]
    assert made["experiment"]["experiment_parallelism"] == {
        **PARALLELISM,
        "data": 3,
        "head_serves": True,
    }


@pytest.mark.parametrize(
    "parallelism", [{"data": 3}, {"tensor": 2}, {"pipeline": 2}, {"head_serves": True}]
)
def test_this_machine_serves_what_its_inventory_has(
    plan: Plan, planner: ModuleType, parallelism: dict[str, Any]
) -> None:
    message = refusal(planner, plan, EXPERIMENT | {"experiment_parallelism": parallelism})
    assert message.startswith("experiment_parallelism: platform local serves data: 2 with")


def test_without_a_word_this_machine_serves_with_all_its_replicas(plan: Plan) -> None:
    experiment = {k: v for k, v in EXPERIMENT.items() if k != "experiment_parallelism"}
    assert plan(experiment)["experiment"]["experiment_parallelism"] == PARALLELISM
