"""Overrides: keys of a plan replaced from outside, checked as the plan is."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import demo_experiment
import pytest
import yaml
from demo_experiment import ANSIBLE, EXPERIMENT, SERVICES


@pytest.fixture
def planner(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("plan")


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return demo_experiment.write_configs(tmp_path / "configs")


def test_overrides_replace_keys_one_by_one(
    planner: ModuleType, configs: Path, tmp_path: Path
) -> None:
    given = {
        "experiment_seed": 2,
        "experiment_windows": {"normal": 30},
        "experiment_faults": [{"fault": "delay", "targets": ["ray-head"], "repetitions": 1}],
    }
    where = "demo", configs, "local", SERVICES, tmp_path / "run"
    usual = planner.plan(*where)
    made = planner.plan(*where, overrides=given)
    windows = {**EXPERIMENT["experiment_windows"], "normal": 30}
    assert made["experiment"] == {**EXPERIMENT, **given, "experiment_windows": windows}
    assert [case["id"] for case in made["cases"]] == ["ray-head_delay_1"]
    assert made["definition_sha256"] != usual["definition_sha256"]
    assert planner.plan(*where, overrides={}) == usual


def test_overrides_may_be_text_as_a_command_line_gives_it(
    planner: ModuleType, configs: Path, tmp_path: Path
) -> None:
    where = "demo", configs, "local", SERVICES, tmp_path / "run"
    text = {
        "experiment_name": "7",
        "experiment_seed": "3",
        "experiment_windows": '{"normal": 30}',
        "experiment_controls": "2",
        "experiment_order": "random",
    }
    typed = {
        "experiment_name": "7",
        "experiment_seed": 3,
        "experiment_windows": {"normal": 30},
        "experiment_controls": 2,
        "experiment_order": "random",
    }
    assert planner.plan(*where, overrides=text) == planner.plan(*where, overrides=typed)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"experiment_model": "nope"},
            "unknown model 'nope'; choose one of: large, small",
        ),
        ({"experiment_model": "large"}, "model large does not run on platform local"),
        ({"experiment_sed": 3}, "demo.yaml with overrides: unknown experiment_sed; known are "),
        (
            {"experiment_seed": "three"},
            "demo.yaml with overrides: experiment_seed: 'three' is no number",
        ),
        ({"experiment_windows": {"norml": 30}}, "experiment_windows: unknown norml; known are "),
        ({"experiment_windows": {"normal": "30"}}, "windows.normal: '30' is no number"),
        ({"experiment_windows": 30}, "demo.yaml with overrides: experiment_windows is no mapping"),
        ({"experiment_windows": "{normal: 30"}, "experiment_windows is no YAML: "),
        ({"experiment_parallelism": {"data": 3}}, "platform local serves data: 2 with"),
    ],
)
def test_overrides_are_checked_as_the_file_is(
    planner: ModuleType, configs: Path, tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(planner.PlanError) as caught:
        planner.plan("demo", configs, "local", SERVICES, tmp_path / "run", None, overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_goes_on_with_the_same_overrides_only(
    planner: ModuleType, configs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    where = "demo", configs, "local", SERVICES, run, None
    first = planner.plan(*where, {"experiment_seed": 3})
    run.mkdir()
    (run / "manifest.json").write_text(
        json.dumps({"definition_sha256": first["definition_sha256"]})
    )
    assert planner.plan(*where, {"experiment_seed": "3"}) == first
    with pytest.raises(planner.PlanError, match="was recorded with another definition of demo"):
        planner.plan(*where, {})


def test_the_role_passes_every_key_that_can_be_overridden(planner: ModuleType) -> None:
    role = ANSIBLE / "roles" / "experiment"
    keys = yaml.safe_load((role / "vars/main.yaml").read_text())["experiment_keys"]
    assert {f"experiment_{key}" for key in keys} == planner.KEYS
    specs = yaml.safe_load((role / "meta/argument_specs.yaml").read_text())["argument_specs"]
    assert set(specs["plan"]["options"]) >= planner.KEYS
