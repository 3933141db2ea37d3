from __future__ import annotations

import pytest

from llm_benchmark.sweep import Step, find_limit


def server(limit: float, client_limit: float = 1e9) -> tuple[list[float], object]:
    """Return a list of the rates that will be measured, and a measure of a server's limit."""
    asked: list[float] = []

    def measure(rate: float) -> Step:
        asked.append(rate)
        client_failed = rate > client_limit
        return Step(rate, rate <= limit and not client_failed, client_failed, {})

    return asked, measure


@pytest.mark.parametrize("limit", [1.0, 1.05, 7.3, 64, 99.9])
def test_the_limit_is_found_to_the_precision_asked_for(limit: float) -> None:
    asked, measure = server(limit)
    found = find_limit(measure, 1, 100, 0.05)  # type: ignore[arg-type]
    assert found.best is not None
    assert limit / 1.05 <= found.best.rate <= limit
    assert len(asked) < 16
    assert len(set(asked)) == len(asked)


def test_a_rate_that_never_fails_ends_the_search_at_the_highest() -> None:
    asked, measure = server(1000)
    found = find_limit(measure, 10, 70, 0.1)  # type: ignore[arg-type]
    assert asked == [10, 20, 40, 70]
    assert found.best is not None
    assert found.best.rate == 70
    assert "passes" in found.reason


def test_a_server_that_bears_nothing_has_no_best_rate() -> None:
    asked, measure = server(0.5)
    found = find_limit(measure, 1, 100, 0.1)  # type: ignore[arg-type]
    assert (asked, found.best) == ([1], None)


def test_the_limit_of_the_client_is_not_taken_for_that_of_the_server() -> None:
    _, measure = server(1000, client_limit=30)
    found = find_limit(measure, 1, 100, 0.05)  # type: ignore[arg-type]
    assert found.best is not None
    assert found.best.rate <= 30
    assert "the client fails" in found.reason
