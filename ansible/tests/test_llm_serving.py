"""The serving module builds the application that both platforms deploy, with the real Ray Serve."""

import json
import subprocess
from pathlib import Path

FILES = Path(__file__).resolve().parents[1] / "roles" / "model" / "files"
BUILD = """
import json, sys
import llm_serving
config = json.loads(sys.argv[1])
deployment = llm_serving.build(config)._bound_deployment
about = deployment._replica_config
print(json.dumps([deployment.num_replicas, about.max_replicas_per_node,
                  about.placement_group_bundles, about.placement_group_strategy,
                  about.ray_actor_options["num_cpus"]]))
"""
CONFIG = {
    "replicas": 3,
    "max_ongoing_requests": 4,
    "engine": {},
    "ray_actor_options": {"num_cpus": 1},
}


def built(python: Path, **config: object) -> list[object]:
    command = [str(python), "-c", BUILD, json.dumps({**CONFIG, **config})]
    done = subprocess.run(command, cwd=FILES, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_replicas_are_spread_one_per_node(serve_python: Path) -> None:
    assert built(serve_python) == [3, 1, None, None, 1]


def test_replicas_of_several_gpus_are_where_their_placement_group_puts_them(
    serve_python: Path,
) -> None:
    bundles = [{"CPU": 1}, {"CPU": 1, "GPU": 1}, {"CPU": 1, "GPU": 1}]
    group = {"placement_group_bundles": bundles, "placement_group_strategy": "STRICT_PACK"}
    assert built(serve_python, **group) == [3, None, bundles, "STRICT_PACK", 1]
