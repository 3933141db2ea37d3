"""What the generator needs when it runs alone, in a container or on other machines."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[1]
# Whose packages bear other names than their modules.
PACKAGES = {"attr": "attrs", "dateutil": "python-dateutil", "_cyutility": "", "_distutils_hack": ""}
# Taken where they happen to be installed.
NEEDLESS = {"cloudpickle", "pytz"}


def pinned() -> dict[str, str]:
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {name.lower().replace("_", "-"): number for name, number in pairs}


def test_the_generator_imports_nothing_but_what_is_pinned_for_it() -> None:
    program = """
import sys
import llm_benchmark.cli, llm_benchmark.worker_process
roots = {name.partition(".")[0] for name in sys.modules}
places = {root: getattr(sys.modules.get(root), "__file__", None) or "" for root in roots}
print(*(root for root, place in places.items() if "site-packages" in place))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split()) - {"llm_benchmark"}
    needed = {PACKAGES.get(one, one).lower().replace("_", "-") for one in modules} - {""}
    assert {"aiohttp", "pyarrow"} <= needed
    assert needed <= pinned().keys() | NEEDLESS


def test_the_pinned_versions_are_those_that_are_tested() -> None:
    assert {name: version(name) for name in pinned()} == pinned()


def test_the_container_runs_without_rights_what_it_has_built() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert re.search(r"^USER \d+$", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((FOLDER.parent / path).exists() for path in source.split())


def test_the_job_gives_each_machine_its_shard() -> None:
    claim, job = yaml.safe_load_all((FOLDER / "kubernetes" / "job.yaml").read_text())
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 4
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert "--shard=$(JOB_COMPLETION_INDEX)/4" in container["args"]
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names
    claimed = pod["volumes"][1]["persistentVolumeClaim"]["claimName"]
    assert claimed == claim["metadata"]["name"]
