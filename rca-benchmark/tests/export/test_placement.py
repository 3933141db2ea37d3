import json

import pytest

from rca_benchmark.errors import ExportError
from rca_benchmark.export.placement import Placement, read_placement


def test_placement_is_read(tmp_path):
    path = tmp_path / "placement.json"
    path.write_text('{"ray-head": {"address": "10.0.0.1", "node": "here"}}')
    placement = read_placement(path)
    assert placement.services == ("ray-head",)
    assert placement.nodes == ("here",)
    assert placement.owner("address", "10.0.0.1") == "ray-head"
    assert placement.owner("address", "10.0.0.2") is None
    assert placement.owner("", "whoever") == "whoever"


def test_pods_and_gpus_lead_to_services():
    placement = Placement({"a": {"node": "n", "pod": "a-x1", "gpus": ["G1", "G2"]}})
    assert [placement.owner("gpu", gpu) for gpu in ("G1", "G2", "G3")] == ["a", "a", None]
    assert placement.owner("pod", "a-x1") == "a"
    assert placement.owner("address", "a-x1") is None


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"a": "node"},
        {"a": {"address": "x"}},
        {"a_b": {"node": "n"}},
        {"a": {"node": "n_m"}},
        {"a": {"node": "n", "gpus": "G1"}},
        {"a": {"node": "n", "pod": 1}},
        {"a": {"node": "n", "gpus": ["G"]}, "b": {"node": "n", "gpus": ["G"]}},
        {"a": {"node": "n", "address": "1"}, "b": {"node": "n", "address": "1"}},
    ],
)
def test_a_broken_placement_is_named(tmp_path, content):
    path = tmp_path / "placement.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"placement\.json"):
        read_placement(path)


def test_a_missing_placement_is_named(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        read_placement(tmp_path / "none.json")
