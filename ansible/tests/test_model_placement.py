"""The check of where a served model is: pods, GPUs, and one line for everything that is wrong."""

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def placement(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("placement")


def place(node: str, *gpus: str) -> dict[str, object]:
    return {"node": node, "pod": f"pod-on-{node}"} | ({"gpus": list(gpus)} if gpus else {})


GOOD = {
    "nginx-proxy": place("a"),
    "ray-head": place("a"),
    "ray-replicas-0": place("a", "GPU-1"),
    "ray-replicas-1": place("b", "GPU-2"),
}


def test_one_replica_per_pod_with_its_own_gpu_is_right(placement: ModuleType) -> None:
    assert placement.wrong(GOOD, pods=2, gpus=1) == []


def test_what_is_not_as_the_experiment_says_is_named(placement: ModuleType) -> None:
    assert placement.wrong(GOOD, pods=3, gpus=1) == [
        "2 pods have GPUs, not 3: ray-replicas-0, ray-replicas-1"
    ]
    assert placement.wrong(GOOD, pods=2, gpus=2) == [
        "ray-replicas-0 on a has 1 GPUs, not 2",
        "ray-replicas-1 on b has 1 GPUs, not 2",
    ]
    shared = {**GOOD, "ray-replicas-1": place("b", "GPU-1")}
    assert placement.wrong(shared, pods=2, gpus=1) == ["GPU GPU-1 is held by 2 pods"]
    assert placement.wrong({"ray-head": place("a")}, pods=1, gpus=1) == [
        "0 pods have GPUs, not 1: none"
    ]
