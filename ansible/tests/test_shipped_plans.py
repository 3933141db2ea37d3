"""The plans, faults and models that are shipped: all can be planned, and say what they claim."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

ANSIBLE = Path(__file__).resolve().parents[1]
SERVICES = ["nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1"]
PLATFORMS = {"local": SERVICES, "kubernetes": []}


@pytest.fixture
def planner(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("plan")


@pytest.mark.parametrize("name", [p.stem for p in (ANSIBLE / "configs/experiments").glob("*.yaml")])
def test_what_we_ship_can_be_planned(
    planner: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 50))
    experiment = yaml.safe_load((ANSIBLE / "configs/experiments" / f"{name}.yaml").read_text())
    model = ANSIBLE / "configs/models" / f"{experiment['experiment_model']}.yaml"
    for platform in yaml.safe_load(model.read_text())["model_platforms"]:
        made = planner.plan(name, ANSIBLE / "configs", platform, PLATFORMS[platform], tmp_path)
        assert made["cases"]
        assert made["experiment"]["experiment_name"] == name


def test_the_studys_plan_is_there_with_its_own_strengths(
    planner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 50))
    where = ANSIBLE / "configs", "kubernetes", PLATFORMS["kubernetes"]
    made = planner.plan("paper-2026", *where, tmp_path)
    faults = [case for case in made["cases"] if case["fault"]]
    assert len(faults) == 4 * 3 * 10
    assert {case["fault"]: case["parameters"] for case in faults} == {
        "cpu": {"workers": 16, "load": 100},
        "memory": {"size_mib": 8_000_000_000 // 2**20},
        "network-delay": {"delay_ms": 1000, "jitter_ms": 100},
        "accelerator": {"power_limit_w": 150, "clock_mhz": 0},
    }
    assert sum(made["experiment"]["experiment_windows"].values()) == 360
    message = "model falcon-h1-7b-instruct does not run on platform local"
    with pytest.raises(planner.PlanError, match=message):
        planner.plan("paper-2026", ANSIBLE / "configs", "local", SERVICES, tmp_path)


def test_the_data_set_we_ship_is_of_the_plan_that_we_ship(
    planner: ModuleType, tmp_path: Path
) -> None:
    with tarfile.open(ANSIBLE.parent / "data" / "artifacts.tar.gz") as packed:
        recorded = {Path(name).parent.name for name in packed.getnames() if "case.json" in name}
        file = packed.extractfile("manifest.json")
        assert file is not None
        manifest = json.load(file)
    made = planner.plan("rca-anomaly-injections", ANSIBLE / "configs", "local", SERVICES, tmp_path)
    assert manifest["definition_sha256"] == made["definition_sha256"]
    assert manifest["cases"] == made["all_cases"]
    assert recorded == {case["id"] for case in made["all_cases"]}


def test_every_fault_we_ship_is_described_and_can_be_made_locally() -> None:
    catalogue = yaml.safe_load((ANSIBLE / "configs" / "faults.yaml").read_text())["faults"]
    folder = ANSIBLE / "roles/chaos/vars/local"
    assert {path.stem for path in folder.glob("*.yaml")} == set(catalogue)
    for name, fault in catalogue.items():
        assert set(fault) == {
            *("summary", "targets", "parameters", "signature", "verified", "mechanisms")
        }
        made = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert set(made["chaos_program"]) == set(fault["mechanisms"]["local"])
        assert set(made["chaos_remains"]) <= set(made["chaos_program"])
        for about in fault["parameters"].values():
            assert about["minimum"] <= about["default"] <= about["maximum"]


def test_a_plan_has_the_same_cases_and_seeds_on_both_platforms(
    planner: ModuleType, tmp_path: Path
) -> None:
    local, cluster = (
        planner.plan("smoke", ANSIBLE / "configs", platform, services, tmp_path)
        for platform, services in PLATFORMS.items()
    )
    keys = ("id", "fault", "target", "seed")
    assert [[case[key] for key in keys] for case in local["cases"]] == [
        [case[key] for key in keys] for case in cluster["cases"]
    ]
    assert local["experiment"] == cluster["experiment"]
    assert local["services"] == cluster["services"]
