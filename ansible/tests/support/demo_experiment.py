"""A small experiment, its catalogue of faults and its models, to be planned by tests."""

import shutil
from pathlib import Path
from typing import Any

import yaml

ANSIBLE = Path(__file__).resolve().parents[2]
SERVICES = ["nginx-proxy", "ray-head", "ray-replicas-0", "ray-replicas-1"]
PARALLELISM = {"data": 2, "tensor": 1, "pipeline": 1, "head_serves": False}
MODEL: dict[str, Any] = {
    "model_name": "small",
    "model_platforms": ["kubernetes"],
    "model_context_tokens": 64,
    "model_source": {"huggingface": "somebody/small", "gated": False},
    "model_weights_gib": 0.5,
    "model_engine": {"max_model_len": 32},
}
CASES: list[dict[str, Any]] = [
    {"fault": "cpu", "targets": ["ray-replicas-1"], "repetitions": 2},
    {"fault": "delay", "targets": ["ray-head"], "repetitions": 1, "parameters": {"ms": 7.5}},
]
EXPERIMENT: dict[str, Any] = {
    "experiment_name": "demo",
    "experiment_seed": 1,
    "experiment_model": "small",
    "experiment_load": {
        "arrivals": "poisson",
        "rate": 0.5,
        "prompt_tokens": 8,
        "output_tokens": 4,
    },
    "experiment_windows": {"warmup": 0, "normal": 10, "fault": 5, "after": 0},
    "experiment_faults": CASES,
    "experiment_controls": 0,
    "experiment_order": "listed",
    "experiment_parallelism": PARALLELISM,
}
FAULTS = {
    "cpu": {
        "targets": ["ray-replicas-*"],
        "parameters": {
            "workers": {"default": 2, "minimum": 1, "maximum": 64},
            "power": {"default": 150, "minimum": 1, "maximum": 700, "platforms": ["kubernetes"]},
        },
        "mechanisms": {"local": ["stress-ng"], "kubernetes": ["StressChaos"]},
    },
    "delay": {
        "targets": ["ray-head", "nginx-proxy"],
        "parameters": {
            "ms": {"default": 60.0, "minimum": 1, "maximum": 100},
            "jitter": {"default": 10, "minimum": 0, "maximum": 50},
        },
        "mechanisms": {"local": ["netem", "nfqueue"]},
    },
}


def write_configs(folder: Path) -> Path:
    """Write the configuration of the experiment `demo`, and of another; returns the folder."""
    files = {
        "faults": {"faults": FAULTS},
        "models/small": MODEL | {"model_platforms": ["local"]},
        "models/large": MODEL | {"model_name": "large"},
        "experiments/demo": EXPERIMENT,
        "experiments/other": EXPERIMENT,
    }
    for name, content in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    shutil.copytree(ANSIBLE / "configs" / "schemas", folder / "schemas")
    return folder
