"""The registry of methods: each declares what it is and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from rca_benchmark.case import Observation
from rca_benchmark.errors import BenchError
from rca_benchmark.methods.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Iterable

Source = Literal["metrics", "logs", "traces", "topology"]
Function = Callable[[Observation, np.random.Generator], Ranking]

_METHODS: Final[dict[str, Method]] = {}


@dataclass(frozen=True)
class Method:
    """A method and its declaration.

    Attributes:
        name: unique.
        function: observation and seeded generator in, ranking out; raises ``MethodFailed`` when
            it cannot answer. It must not change the observation.
        sources: the telemetry it reads.
        paper: where it comes from.
        uses_inject_time: whether it is told when the fault began, which not every method is.
        stochastic: whether its answer depends on the generator.
    """

    name: str
    function: Function
    sources: frozenset[Source]
    paper: str
    uses_inject_time: bool
    stochastic: bool


def method(
    *,
    name: str,
    sources: Iterable[Source],
    paper: str,
    uses_inject_time: bool,
    stochastic: bool,
) -> Callable[[Function], Function]:
    """Register the decorated function under a name.

    Raises:
        ValueError: the name is taken.
    """

    def register(function: Function) -> Function:
        if name in _METHODS:
            raise ValueError(f"method {name} is registered twice")
        _METHODS[name] = Method(
            name, function, frozenset(sources), paper, uses_inject_time, stochastic
        )
        return function

    return register


def all_methods() -> list[Method]:
    """Every registered method, by name."""
    return [_METHODS[name] for name in sorted(_METHODS)]


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        BenchError: there is none.
    """
    if name not in _METHODS:
        raise BenchError(f"no method {name}; there are: {', '.join(sorted(_METHODS))}")
    return _METHODS[name]
