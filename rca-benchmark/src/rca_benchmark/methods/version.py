"""Which version of a method gave an answer: told from its source, so that nobody has to bump it."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rca_benchmark.methods.registry import Method

# They carry declarations and errors; no answer depends on them.
_LEFT_OUT: Final = {"rca_benchmark.methods.registry", "rca_benchmark.errors"}


@cache
def method_version(method: Method) -> str:
    """Hex digest over the module of the method and all that it imports from its own package.

    A module that is imported inside a function is not followed. Third-party libraries are not
    part of it: their versions belong to the environment.
    """
    digest = hashlib.sha256()
    for name in sorted(_own_modules(method.function.__module__)):
        path = getattr(sys.modules[name], "__file__", None)
        if path:
            digest.update(name.encode() + Path(path).read_bytes())
    return digest.hexdigest()[:12]


def _own_modules(start: str) -> set[str]:
    """The module and, in turn, every module of its package whose objects it holds."""
    packages = (start.partition(".")[0], "rca_benchmark")
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name in found or name in _LEFT_OUT or name.partition(".")[0] not in packages:
            continue
        found.add(name)
        for value in vars(sys.modules[name]).values():
            origin = value.__name__ if isinstance(value, ModuleType) else _origin(value)
            if origin in sys.modules:
                todo.append(origin)
    return found


def _origin(value: object) -> str:
    origin = getattr(value, "__module__", None)
    return origin if isinstance(origin, str) else ""
