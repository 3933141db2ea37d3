"""The highest rate at which a server keeps its promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

GROWTH = 2.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one rate showed.

    Attributes:
        rate: Requests per second.
        passed: Whether enough requests met the objectives.
        client_failed: Whether the client, not the server, was the limit.
        summary: The run's summary.
    """

    rate: float
    passed: bool
    client_failed: bool
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a sweep found.

    Attributes:
        steps: All steps, in the order in which they were made.
        best: Highest rate that passed; None: not even the lowest did.
        reason: Why the sweep ended.
    """

    steps: tuple[Step, ...]
    best: Step | None
    reason: str


def find_limit(
    measure: Callable[[float], Step], low: float, high: float, precision: float
) -> Found:
    """Find the highest rate that passes: doubling it until one fails, then halving the interval.

    Rates are compared as ratios, so the middle of an interval is its geometric mean. A step at
    which the client failed says nothing about the server and must not pass.

    Args:
        measure: Measures one rate.
        low: Lowest rate, 1/s; measured first.
        high: Highest rate to try, 1/s.
        precision: Ends the search when the rates that pass and fail differ by no more than this
            share.
    """
    steps: list[Step] = []

    def passes(rate: float) -> bool:
        steps.append(measure(rate))
        return steps[-1].passed

    rate = low
    while passes(rate):
        if rate >= high:
            return _found(steps, f"the highest rate to try, {high:g}/s, passes")
        rate = min(rate * GROWTH, high)
    if len(steps) == 1:
        return _found(steps, f"the lowest rate, {low:g}/s, does not pass")
    below, above = steps[-2].rate, steps[-1].rate
    while above / below > 1 + precision:
        middle = (below * above) ** 0.5
        if passes(middle):
            below = middle
        else:
            above = middle
    failed = min((step for step in steps if not step.passed), key=lambda step: step.rate)
    who = "the client fails" if failed.client_failed else "requests miss their objectives"
    return _found(steps, f"at {failed.rate:.4g}/s {who}")


def _found(steps: list[Step], reason: str) -> Found:
    passed = [step for step in steps if step.passed]
    best = max(passed, key=lambda step: step.rate) if passed else None
    return Found(tuple(steps), best, reason)
