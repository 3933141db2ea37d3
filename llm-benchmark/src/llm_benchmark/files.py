"""Files that are either absent or complete, also when their writer dies."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def partial_path(path: Path) -> Path:
    """Return the name under which a file is written until it is complete."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def replace(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of ``path`` on success.

    Raises:
        OSError: The file cannot be written or renamed.
    """
    partial = partial_path(path)
    yield partial
    partial.replace(path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object at once; NaN and infinity are refused.

    Raises:
        OSError: The file cannot be written.
        ValueError: The content holds NaN or infinity.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replace(path) as partial:
        partial.write_text(text, encoding="utf-8")
