"""From records to figures: percentiles, rates, and whether the client can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm_benchmark.client import CONNECTION_LIMIT
from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS, iso

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llm_benchmark.options import RunOptions
    from llm_benchmark.worker import Stop

SUMMARY_NAME = "load-summary.json"
MAX_SCHEDULE_DELAY_MS = 10.0
PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}


def summarise(
    records: pa.Table, options: RunOptions, *, start_ns: int, planned: int, stop: Stop | None
) -> dict[str, Any]:
    """Return the figures of a run as JSON values.

    Latencies are those of successful requests: ``ttft_ms`` and ``e2e_ms`` from sending,
    ``..._from_intended_ms`` from the instant at which the request was due. Percentiles are linearly
    interpolated; a figure without data is null. The schedule delay counts every request sent.

    Args:
        records: The run's records, a table of ``records.SCHEMA``.
        options: The run's options.
        start_ns: The instant from which the schedule counts, UTC epoch ns.
        planned: Requests in the schedule.
        stop: Why the run was cut short; None when it was not.

    Returns:
        The content of ``load-summary.json``.
    """
    good = records.filter(pc.equal(records["error_class"], ""))
    requests = len(records)
    ended_ns = _latest(records["end_ns"], stop.at_ns if stop else start_ns + options.duration_ns)
    delay = spread(between(records, "intended_ns", "sent_ns"))
    problems = _problems(records, delay, planned, stop)
    output_tokens = pc.sum(good["output_tokens"]).as_py() or 0
    return {
        "started": iso(start_ns),
        "ended": iso(ended_ns),
        "valid": not problems,
        "reason": "; ".join(problems),
        "planned": planned,
        "requests": requests,
        "errors": requests - len(good),
        "error_classes": error_classes(records),
        "requested_rate": options.rate,
        "achieved_rate": _achieved_rate(records, options, start_ns, stop),
        "peak_in_flight": peak_in_flight(records),
        "schedule_delay_ms": delay,
        "ttft_ms": spread(between(good, "sent_ns", "first_token_ns")),
        "ttft_from_intended_ms": spread(between(good, "intended_ns", "first_token_ns")),
        "itl_ms": spread(_integers(pc.list_flatten(good["itl_ns"]))),
        "tpot_ms": spread(_time_per_output_token(good)),
        "e2e_ms": spread(between(good, "sent_ns", "end_ns")),
        "e2e_from_intended_ms": spread(between(good, "intended_ns", "end_ns")),
        "prompt_tokens": pc.sum(good["prompt_tokens"]).as_py() or 0,
        "output_tokens": output_tokens,
        "output_tokens_per_s": _per_second(output_tokens, ended_ns - start_ns),
        "seed": options.seed,
        "options": options.describe(),
    }


def between(records: pa.Table, first: str, last: str) -> NDArray[np.int64]:
    """Return last less first, ns, of the records that reached both; shape (those records,)."""
    # Subtracted as integers: epoch nanoseconds do not fit a float.
    return _integers(pc.subtract(records[last], records[first]))


def spread(durations_ns: NDArray[Any]) -> dict[str, float | None]:
    """Return mean, percentiles and maximum of durations, from ns to ms; null without data."""
    if not len(durations_ns):
        return dict.fromkeys(["mean", *PERCENTILES, "max"])
    milliseconds = durations_ns / MILLISECOND_NS
    values = np.percentile(milliseconds, list(PERCENTILES.values()))
    return {
        "mean": round(float(milliseconds.mean()), 6),
        **{name: round(float(value), 6) for name, value in zip(PERCENTILES, values, strict=True)},
        "max": round(float(milliseconds.max()), 6),
    }


def error_classes(records: pa.Table) -> dict[str, int]:
    """Return how often each error class occurs, commonest first."""
    counts = records.filter(pc.not_equal(records["error_class"], ""))["error_class"].value_counts()
    pairs = [(entry["values"], entry["counts"]) for entry in counts.to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def peak_in_flight(records: pa.Table) -> int:
    """Return the largest number of requests that were outstanding at one instant."""
    if not len(records):
        return 0
    sent = np.sort(_integers(records["sent_ns"]))
    ended = np.sort(_integers(records["end_ns"]))
    return int((np.arange(1, len(sent) + 1) - np.searchsorted(ended, sent, side="right")).max())


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.drop_null().to_numpy(), dtype=np.int64)


def _latest(column: pa.ChunkedArray, otherwise: int) -> int:
    latest = pc.max(column).as_py()
    return otherwise if latest is None else int(latest)


def _time_per_output_token(good: pa.Table) -> NDArray[np.float64]:
    """Return (last token less first token) / (output tokens less 1), ns, for two tokens or more."""
    several = good.filter(
        pc.and_(pc.greater(good["output_tokens"], 1), pc.is_valid(good["first_token_ns"]))
    )
    generating = between(several, "first_token_ns", "last_token_ns")
    return generating / (_integers(several["output_tokens"]) - 1)


def _achieved_rate(
    records: pa.Table, options: RunOptions, start_ns: int, stop: Stop | None
) -> float:
    """Return requests sent per second, until the planned end or, if later, the last sending."""
    planned_end_ns = stop.at_ns if stop else start_ns + options.duration_ns
    end_ns = max(planned_end_ns, _latest(records["sent_ns"], planned_end_ns))
    return _per_second(len(records), end_ns - start_ns)


def _per_second(count: int, duration_ns: int) -> float:
    """Return a rate; zero for a run stopped before it began."""
    return count / (duration_ns / SECOND_NS) if duration_ns > 0 else 0.0


def _problems(
    records: pa.Table, delay: dict[str, float | None], planned: int, stop: Stop | None
) -> list[str]:
    problems = []
    if stop is not None:
        problems.append(
            f"interrupted by {stop.signal.name}: {len(records)} of {planned} requests sent"
        )
    p99 = delay["p99"]
    if p99 is not None and p99 > MAX_SCHEDULE_DELAY_MS:
        problems.append(
            f"the client was late: p99 schedule delay {p99:.1f} ms is above"
            f" {MAX_SCHEDULE_DELAY_MS:g} ms"
        )
    peak = peak_in_flight(records)
    if peak > CONNECTION_LIMIT:
        problems.append(
            f"requests waited in the client: {peak} in flight over {CONNECTION_LIMIT} connections"
        )
    return problems
