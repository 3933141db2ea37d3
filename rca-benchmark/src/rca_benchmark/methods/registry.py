"""The registry of methods: each declares what it is and what it needs.

Other packages add methods by an entry point of the group ``rca_benchmark.methods`` that names a
module; importing that module registers them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from rca_benchmark.case import Observation
from rca_benchmark.errors import BenchError
from rca_benchmark.methods.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Iterable

Source = Literal["metrics", "logs", "traces", "topology"]
Cost = Literal["ms", "seconds", "minutes"]
Function = Callable[[Observation, np.random.Generator], Ranking]

GROUP: Final = "rca_benchmark.methods"
_ALIASES: Final = {"dummy": "random"}
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
        uses_inject_time: whether it is told when the fault began, which not every method is. One
            that does not declare it finds None in the observation.
        stochastic: whether its answer depends on the generator.
        uses_sli: whether it starts from the SLI, and cannot answer where a data set has none.
        most_indicators: how many it takes; it refuses more. None where time alone is the bound.
        cost: rough time for a case of 50 indicators and 600 rows.
        extra: the optional extra of its package that brings what it needs; None where it needs
            nothing beyond the package.
        needs: the modules of that extra that it imports.
    """

    name: str
    function: Function
    sources: frozenset[Source]
    paper: str
    uses_inject_time: bool
    stochastic: bool
    uses_sli: bool = False
    most_indicators: int | None = None
    cost: Cost = "ms"
    extra: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The modules that it needs and that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def method(
    *,
    name: str,
    sources: Iterable[Source],
    paper: str,
    uses_inject_time: bool,
    stochastic: bool,
    uses_sli: bool = False,
    most_indicators: int | None = None,
    cost: Cost = "ms",
    extra: str | None = None,
    needs: Iterable[str] = (),
) -> Callable[[Function], Function]:
    """Register the decorated function under a name.

    Raises:
        ValueError: the name is taken.
    """

    def register(function: Function) -> Function:
        if name in _METHODS:
            raise ValueError(f"method {name} is registered twice")
        _METHODS[name] = Method(
            name=name,
            function=function,
            sources=frozenset(sources),
            paper=paper,
            uses_inject_time=uses_inject_time,
            stochastic=stochastic,
            uses_sli=uses_sli,
            most_indicators=most_indicators,
            cost=cost,
            extra=extra,
            needs=tuple(needs),
        )
        return function

    return register


def all_methods() -> list[Method]:
    """Every registered method, by name, those of other packages included.

    Raises:
        BenchError: another package's methods cannot be imported.
    """
    _import_other_packages()
    return [_METHODS[name] for name in sorted(_METHODS)]


def get_method(name: str) -> Method:
    """The method of that name, or of the name that the study gives it.

    Raises:
        BenchError: there is none, or another package's methods cannot be imported.
    """
    known = _ALIASES.get(name, name)
    if known not in _METHODS:
        _import_other_packages()
    if known not in _METHODS:
        raise BenchError(f"no method {name}; there are: {', '.join(sorted(_METHODS))}")
    return _METHODS[known]


@cache
def _import_other_packages() -> None:
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.value
            raise BenchError(
                f"methods of package {package} cannot be imported: "
                f"{type(error).__name__}: {error}; correct or uninstall it"
            ) from error
