"""What makes faults on a cluster: the objects of each, held against their schemas."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped] # it ships no types
import pytest
import yaml
from cluster_rendering import undeclared

ANSIBLE = Path(__file__).resolve().parents[1]
CATALOGUE = yaml.safe_load((ANSIBLE / "configs" / "faults.yaml").read_text())["faults"]
FAULTS = {
    name: {
        "mechanism": about["mechanisms"]["kubernetes"][0],
        "target": "ray-replicas-0",
        "parameters": {
            key: value["default"]
            for key, value in about["parameters"].items()
            if "kubernetes" in value.get("platforms", ["kubernetes"])
        },
    }
    for name, about in CATALOGUE.items()
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The objects that make each fault with its defaults."""
    out = tmp_path_factory.mktemp("faults")
    programs = str(ANSIBLE / "roles/chaos/files")
    variables = {"render_out": str(out), "render_faults": FAULTS, "chaos_programs": programs}
    variables["model_image"] = "image@sha256:0"
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "tests/render_faults.yaml"]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables)],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return {name: list(yaml.safe_load_all((out / f"{name}.yaml").read_text())) for name in FAULTS}


def test_every_fault_can_be_made_on_a_cluster(made: dict[str, list[dict[str, Any]]]) -> None:
    assert set(made) == set(CATALOGUE)
    for objects in made.values():
        assert objects[-1]["metadata"]["labels"]["rca-llm/fault"] in CATALOGUE
        assert re.fullmatch("[a-z0-9-]{1,63}", objects[-1]["metadata"]["name"])


def test_every_fault_ends_by_itself_but_the_one_that_happens_once(
    made: dict[str, list[dict[str, Any]]],
) -> None:
    for name, objects in made.items():
        if objects[-1]["kind"] == "Pod":
            assert "--lease=600" in objects[-1]["spec"]["containers"][0]["command"]
        else:
            assert objects[-1]["spec"].get("duration") == (None if name == "kill" else "600s")


def test_a_fault_hits_one_service_and_its_own_container(
    made: dict[str, list[dict[str, Any]]],
) -> None:
    for objects in made.values():
        spec = objects[-1]["spec"]
        if objects[-1]["kind"] != "Pod":
            assert spec["mode"] == "one"
            assert spec["selector"] == {
                "namespaces": ["ray"],
                "labelSelectors": {"rca-llm/service": "ray-replicas-0"},
            }
        if objects[-1]["kind"] == "StressChaos":
            assert spec["containerNames"] == ["ray-replicas-0"]


def test_the_studys_strengths_arrive_as_they_are_meant(
    made: dict[str, list[dict[str, Any]]],
) -> None:
    spec = {name: objects[-1]["spec"] for name, objects in made.items()}
    assert spec["memory"]["stressors"]["memory"]["size"] == "7629MiB"
    assert spec["network-delay"]["delay"] == {
        "latency": "200ms",
        "jitter": "20ms",
        "correlation": "0",  # per cent
    }
    assert spec["network-loss"]["loss"]["loss"] == "30.0"  # per cent
    assert spec["network-rate"]["bandwidth"]["rate"] == "48000bps"  # bytes per second
    power = spec["accelerator"]
    assert power["nodeName"] == "gpu-1"
    assert power["containers"][0]["command"][-2:] == ["GPU-a", "GPU-b"]


def test_objects_fit_their_schemas(made: dict[str, list[dict[str, Any]]]) -> None:
    folder = Path(os.environ.get("RCA_LLM_SHARED", ANSIBLE.parents[1] / "shared")) / "crds"
    if not folder.is_dir():
        pytest.skip(f"needs {folder} (variable RCA_LLM_SHARED)")
    for objects in made.values():
        for item in objects:
            if item["apiVersion"] == "v1":
                kubernetes_validate.validate(item, "1.36", strict=True)
                continue
            schema = json.loads(
                (folder / f"chaos-mesh.org_v1alpha1_{item['kind']}.json").read_text()
            )
            jsonschema.Draft202012Validator(schema).validate(item)
            assert list(undeclared(item, schema)) == []
