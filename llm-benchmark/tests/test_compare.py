from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llm_benchmark.compare import Run, _quantile, compare


def run(seed: int, *, shift: float = 0.0, seconds: int = 60, rate: int = 20) -> Run:
    """Return a run whose seconds share a state, as those of servers do."""
    rng = np.random.default_rng(seed)
    state = np.zeros(seconds)
    for second in range(1, seconds):
        state[second] = 0.3 * state[second - 1] + rng.normal(0, 2)
    latency = [50 + shift + state[one] + rng.gamma(2, 5, rate) for one in range(seconds)]
    blocks: dict[str, Any] = dict.fromkeys(("TTFT", "ITL", "TPOT", "end to end"), latency)
    blocks["errors"] = [np.zeros(rate)] * seconds
    blocks["requests"] = [np.ones(rate)] * seconds
    blocks["tokens"] = [np.full(rate, 32.0)] * seconds
    return Run({}, 1, blocks)


def decided(first: Run, second: Run) -> dict[str, bool]:
    return {row.name: row.decided for row in compare(first, second)}


def test_a_run_does_not_differ_from_itself() -> None:
    one = run(1)
    assert not any(decided(one, one).values())
    assert all(row.difference == 0 for row in compare(one, one))


def test_a_slower_run_differs_by_how_much_it_is_slower() -> None:
    rows = {row.name: row for row in compare(run(1), run(2, shift=8))}
    for name in ("TTFT mean, ms", "TTFT p50, ms", "end to end p90, ms"):
        row = rows[name]
        assert row.decided
        assert row.interval is not None
        assert 0 < row.interval[0] < (row.difference or 0) < row.interval[1]
    assert not rows["errors, %"].decided


def test_intervals_hold_the_truth_nearly_as_often_as_they_say() -> None:
    held = 0
    for seed in range(40):
        row = compare(run(seed), run(seed + 1000, shift=3), seed=seed)[0]
        assert row.interval is not None
        held += row.interval[0] <= 3 <= row.interval[1]
    # Neighbouring seconds are alike, so 95 % are not quite reached.
    assert held >= 32


def test_short_runs_have_no_intervals() -> None:
    rows = compare(run(1, seconds=9), run(2))
    assert all(row.interval is None and not row.decided for row in rows)
    assert rows[0].first is not None


def test_runs_without_answers_have_no_figures() -> None:
    empty = Run({}, 1, {name: [np.zeros(0)] * 20 for name in run(1).blocks})
    rows = {row.name: row for row in compare(run(1), empty)}
    assert rows["TTFT p50, ms"].second is rows["TTFT p50, ms"].difference is None
    assert rows["requests/s sent"].second == 0


def test_a_drawn_quantile_is_that_of_the_values() -> None:
    rng = np.random.default_rng(3)
    samples = [rng.exponential(50, 100) for _ in range(20)]
    for share in (0.5, 0.9, 0.99):
        [found] = _quantile(share)(samples, 1, np.ones((1, 20)))
        exact = np.quantile(np.concatenate(samples), share, method="inverted_cdf")
        assert found == pytest.approx(exact, rel=0.001)


def test_rates_are_those_of_sending_and_a_block_may_be_several_seconds() -> None:
    one = run(1, rate=20)
    blocks = one.blocks | {"requests": [np.ones(20)] * 30}
    rows = {row.name: row for row in compare(one, Run({}, 2, blocks))}
    row = rows["requests/s sent"]
    assert (row.first, row.second, row.ratio) == (20, 10, 0.5)
    assert row.decided
