"""Write which values the charts know: only the keys of each values.yaml, as a tree.

With them a value that a chart does not know is found without the charts' own files.

Usage: python chart_keys.py CHARTS    CHARTS holds a folder per chart with its values.yaml
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

KEYS = Path(__file__).resolve().parents[1] / "charts"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the other one takes seconds


def defaults(chart: Path) -> dict[str, Any]:
    """Return a chart's default values."""
    text = (chart / "values.yaml").read_text()
    values: dict[str, Any] = yaml.load(text, LOADER)  # noqa: S506 - it is a safe one
    kept: dict[str, Any] = values.pop("_internal_defaults_do_not_set", {})  # by Istio's charts
    return values | kept


def keys(values: Any) -> dict[str, Any]:
    """Return the tree of keys, without the values."""
    return {key: keys(value) for key, value in values.items()} if isinstance(values, dict) else {}


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*/values.yaml")):
        tree = json.dumps(keys(defaults(path.parent)), indent=1)
        (KEYS / f"{path.parent.name}.keys.json").write_text(tree + "\n")
