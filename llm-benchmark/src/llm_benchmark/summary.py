"""From records to figures: percentiles, rates, and whether the client can be believed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm_benchmark.client import CONNECTION_LIMIT
from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS, iso
from llm_benchmark.histogram import Histogram

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray


SUMMARY_NAME = "load-summary.json"
MAX_SCHEDULE_DELAY_MS = 10.0
MAX_LOOP_LAG_MS = 10.0
MAX_CPU = 0.98
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
LATENCIES = ("ttft", "ttft_from_intended", "itl", "tpot", "e2e", "e2e_from_intended")


@dataclass(frozen=True, slots=True)
class Stop:
    """A run cut short.

    Attributes:
        signal: The signal that asked for it.
        at_ns: When, UTC epoch ns.
    """

    signal: signal.Signals
    at_ns: int


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a run whose figures count; all instants UTC epoch ns.

    Attributes:
        run_start_ns: The start of the run.
        start_ns: The end of the warm-up.
        end_ns: The start of the cool-down; None: with the last answer.
    """

    run_start_ns: int
    start_ns: int
    end_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run went, apart from its requests.

    Attributes:
        planned: Requests (or conversations) in the schedule; None: no end was planned.
        scheduled: Of these, how many were due within the window; None in a closed loop.
        requested_rate: Requests per second asked for; None in a closed loop.
        stop: Why the run was cut short; None when it was not.
        lag: How late the workers' event loops were, ms.
        busiest_cpu: Largest share of a processor that a worker used in any second.
        cpu_s: Processor time of all workers, s.
        peaks: Most requests in flight of each worker.
        unsent_turns: Turns of conversations that ended early.
        lost: Workers that died, in words.
        clock_drift_ns: How far the wall clock moved against the run's clock.
        note: What else the reader should know.
    """

    planned: int | None
    scheduled: int | None
    requested_rate: float | None
    stop: Stop | None
    lag: dict[str, float | None]
    busiest_cpu: float
    cpu_s: float
    peaks: tuple[int, ...]
    unsent_turns: int
    lost: tuple[str, ...]
    clock_drift_ns: int
    note: str


class Figures:
    """What the records say, taken in table by table in bounded memory.

    Requests belong to the phase in which they were due. Latencies are those of the window's
    successful requests; throughput counts what came within the window, of whichever request.

    Args:
        window: The part of the run that counts.
        slo: Most milliseconds for the latencies that matter.
    """

    def __init__(self, window: Window, slo: Mapping[str, float]) -> None:
        self._window = window
        self._slo = slo
        self._latencies = {name: Histogram() for name in LATENCIES}
        self._delay = Histogram()
        self._phases = {name: Counter[str]() for name in ("warmup", "window", "cooldown")}
        self._classes: Counter[str] = Counter()
        self._prompt_tokens = self._output_tokens = 0
        self._ended_in_window = self._good = 0
        self._prompt_tokens_in_window = 0
        self._output_tokens_in_window = 0.0
        self._last_sent_ns = self._last_end_ns = 0
        self.examples: dict[str, str] = {}

    @property
    def requests(self) -> int:
        """Requests of all phases."""
        return sum(phase["requests"] for phase in self._phases.values())

    @property
    def errors(self) -> int:
        """Failed requests of all phases."""
        return sum(phase["errors"] for phase in self._phases.values())

    def passing(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Take in tables as they pass on to someone else."""
        for table in tables:
            self.add(table)
            yield table

    def add(self, records: pa.Table) -> None:
        """Take in records, a table of ``records.SCHEMA``."""
        if not len(records):
            return
        self._last_end_ns = max(self._last_end_ns, pc.max(records["end_ns"]).as_py() or 0)
        self._take_examples(records)
        self._take_throughput(records)
        intended = _integers(records["intended_ns"])
        early = intended < self._window.start_ns
        late = np.zeros(len(early), bool)
        if self._window.end_ns is not None:
            late = intended >= self._window.end_ns
        for name, chosen in (("warmup", early), ("cooldown", late), ("window", ~(early | late))):
            part = records.filter(pa.array(chosen))
            failed = part.filter(pc.not_equal(part["error_class"], ""))
            self._phases[name].update(requests=len(part), errors=len(failed))
            if name == "window" and len(part):
                self._take_window(part, failed)

    def summary(self, course: Course, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of ``load-summary.json``; a figure without data is null.

        Args:
            course: How the run went otherwise.
            options: The run's options as JSON values.
        """
        window = self._window
        end_ns = self._end_ns(course.stop)
        seconds = max(0, end_ns - window.start_ns) / SECOND_NS
        phase = self._phases["window"]
        delay = spread(self._delay)
        problems = _problems(course, delay, self.requests)
        return {
            "started": iso(window.run_start_ns),
            "ended": iso(max(self._last_end_ns, window.run_start_ns)),
            "valid": not problems,
            "reason": "; ".join(problems),
            "note": course.note,
            "window": {
                "start": iso(window.start_ns),
                "end": iso(end_ns),
                "run_start_ns": window.run_start_ns,
                "start_ns": window.start_ns,
                "end_ns": end_ns,
                "duration_s": seconds,
            },
            "planned": course.planned,
            "requests": phase["requests"],
            "errors": phase["errors"],
            "error_classes": dict(sorted(self._classes.items(), key=lambda one: (-one[1], one[0]))),
            "warmup": _phase(self._phases["warmup"]),
            "cooldown": _phase(self._phases["cooldown"]),
            "unsent_turns": course.unsent_turns,
            "requested_rate": course.requested_rate,
            "scheduled_rate": None
            if course.scheduled is None
            else _rate(course.scheduled, seconds),
            "achieved_rate": _rate(phase["requests"], self._sending_s(end_ns)),
            "requests_per_s": _rate(self._ended_in_window, seconds),
            "peak_in_flight": sum(course.peaks),
            "schedule_delay_ms": delay,
            "loop_lag_ms": course.lag,
            "client_cpu": {
                "busiest_second": round(course.busiest_cpu, 4),
                "s": round(course.cpu_s, 4),
                "s_per_1000_requests": round(course.cpu_s / max(1, self.requests) * 1000, 4),
            },
            **{f"{name}_ms": spread(self._latencies[name]) for name in LATENCIES},
            "goodput": self._goodput(seconds),
            "prompt_tokens": self._prompt_tokens,
            "output_tokens": self._output_tokens,
            "prompt_tokens_per_s": _rate(self._prompt_tokens_in_window, seconds),
            "output_tokens_per_s": _rate(self._output_tokens_in_window, seconds),
            "clock_drift_ms": course.clock_drift_ns / MILLISECOND_NS,
            "seed": options.get("seed"),
            "options": dict(options),
        }

    def _end_ns(self, stop: Stop | None) -> int:
        """Return the end of the window, as it came to be."""
        end_ns = self._last_end_ns if self._window.end_ns is None else self._window.end_ns
        if stop is not None:
            end_ns = min(end_ns, stop.at_ns)
        return max(end_ns, self._window.start_ns)

    def _sending_s(self, end_ns: int) -> float:
        """Return how long the window's requests took to be sent, longer than planned if late."""
        return (max(end_ns, self._last_sent_ns) - self._window.start_ns) / SECOND_NS

    def _take_examples(self, records: pa.Table) -> None:
        failed = records.filter(pc.not_equal(records["error_class"], ""))
        for error_class in set(failed["error_class"].unique().to_pylist()) - self.examples.keys():
            chosen = failed.filter(pc.equal(failed["error_class"], error_class))
            self.examples[error_class] = chosen["error"][0].as_py()

    def _take_window(self, part: pa.Table, failed: pa.Table) -> None:
        self._classes.update(failed["error_class"].to_pylist())
        self._delay.add(between(part, "intended_ns", "sent_ns"))
        self._last_sent_ns = max(self._last_sent_ns, pc.max(part["sent_ns"]).as_py() or 0)
        good = part.filter(pc.equal(part["error_class"], ""))
        if not len(good):
            return
        values = latencies(good)
        for name, durations_ns in values.items():
            self._latencies[name].add(durations_ns[~np.isnan(durations_ns)])
        # Gaps, not requests, make the distribution of the time between tokens.
        self._latencies["itl"].add(_integers(pc.list_flatten(good["itl_ns"])))
        self._prompt_tokens += pc.sum(good["prompt_tokens"]).as_py()
        self._output_tokens += pc.sum(good["output_tokens"]).as_py()
        if self._slo:
            met = np.ones(len(good), bool)
            for name, most_ms in self._slo.items():
                durations_ns = mean_gaps(good) if name == "itl" else values[_slo_source(name)]
                # A request without the figure, such as one of a single token, cannot miss it.
                met &= ~(durations_ns > most_ms * MILLISECOND_NS)
            self._good += int(met.sum())

    def _take_throughput(self, records: pa.Table) -> None:
        good = records.filter(pc.equal(records["error_class"], ""))
        if not len(good):
            return
        ended = self._inside(_integers(good["end_ns"]))
        self._ended_in_window += int(ended.sum())
        begun = self._inside(_integers(good["first_token_ns"].fill_null(0)))
        streamed = pc.is_valid(good["first_token_ns"]).to_numpy()
        prompts = _integers(good["prompt_tokens"])
        self._prompt_tokens_in_window += int(prompts[np.where(streamed, begun, ended)].sum())
        self._output_tokens_in_window += float(
            _integers(good["output_tokens"])[ended & ~streamed].sum()
        )
        if streamed.any():
            self._output_tokens_in_window += self._tokens_inside(good.filter(pa.array(streamed)))

    def _tokens_inside(self, streamed: pa.Table) -> float:
        """Return how many tokens came within the window: each event carries its share of them."""
        gaps = pc.list_value_length(streamed["itl_ns"]).to_numpy().astype(np.int64)
        flat = _integers(pc.list_flatten(streamed["itl_ns"]))
        owner = np.repeat(np.arange(len(gaps)), gaps)
        total = np.concatenate([[0], np.cumsum(flat)])
        starts = np.concatenate([[0], np.cumsum(gaps)])[:-1]
        since_first = total[1:] - total[starts][owner]
        first = _integers(streamed["first_token_ns"])
        share = _integers(streamed["output_tokens"]) / (gaps + 1)
        inside = self._inside(first[owner] + since_first)
        return float(share[self._inside(first)].sum() + share[owner][inside].sum())

    def _inside(self, instants_ns: NDArray[Any]) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = instants_ns >= self._window.start_ns
        if self._window.end_ns is not None:
            inside = inside & (instants_ns < self._window.end_ns)
        return inside

    def _goodput(self, seconds: float) -> dict[str, Any] | None:
        if not self._slo:
            return None
        requests = self._phases["window"]["requests"]
        return {
            "slo": dict(self._slo),
            "requests": self._good,
            "requests_per_s": _rate(self._good, seconds),
            "share": self._good / requests if requests else 0.0,
        }


def latencies(good: pa.Table) -> dict[str, NDArray[np.float64]]:
    """Return each latency of successful requests, ns, shape (requests,); not a number: none.

    Time per output token is (last token less first token) / (output tokens less 1).
    """
    columns = {
        name: good[f"{name}_ns"]
        for name in ("intended", "sent", "first_token", "last_token", "end")
    }
    generating = _difference(columns["first_token"], columns["last_token"])
    tokens = _integers(good["output_tokens"])
    several = np.where(tokens > 1, tokens - 1.0, np.nan)
    return {
        "ttft": _difference(columns["sent"], columns["first_token"]),
        "ttft_from_intended": _difference(columns["intended"], columns["first_token"]),
        "tpot": generating / several,
        "e2e": _difference(columns["sent"], columns["end"]),
        "e2e_from_intended": _difference(columns["intended"], columns["end"]),
    }


def mean_gaps(records: pa.Table) -> NDArray[np.float64]:
    """Return each request's mean time between events with text, ns; not a number: it has no two."""
    gaps = pc.list_value_length(records["itl_ns"]).to_numpy().astype(np.float64)
    generating = _difference(records["first_token_ns"], records["last_token_ns"])
    return np.where(gaps > 0, generating / np.maximum(gaps, 1), np.nan)


def between(records: pa.Table, first: str, last: str) -> NDArray[np.int64]:
    """Return last less first, ns, of the records that reached both; shape (those records,)."""
    # Subtracted as integers: epoch nanoseconds do not fit a float.
    return _integers(pc.subtract(records[last], records[first]).drop_null())


def spread(durations_ns: Histogram) -> dict[str, float | None]:
    """Return mean, percentiles and maximum of durations, from ns to ms; null without data."""
    figures = {
        "mean": durations_ns.mean,
        **{name: durations_ns.quantile(share) for name, share in PERCENTILES.items()},
        "max": durations_ns.maximum,
    }
    return {
        name: None if value is None else round(value / MILLISECOND_NS, 6)
        for name, value in figures.items()
    }


def _slo_source(name: str) -> str:
    """Return the latency that an objective is about: what a user waits begins when it is due."""
    return {"ttft": "ttft_from_intended", "e2e": "e2e_from_intended"}.get(name, name)


def _difference(first: pa.ChunkedArray, last: pa.ChunkedArray) -> NDArray[np.float64]:
    return _floats(pc.subtract(last, first))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(), np.float64)


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _phase(phase: Counter[str]) -> dict[str, int]:
    return {"requests": phase["requests"], "errors": phase["errors"]}


def _rate(count: float, seconds: float) -> float:
    """Return a rate; zero for a run stopped before it began."""
    return count / seconds if seconds > 0 else 0.0


def _problems(
    course: Course,
    delay: dict[str, float | None],
    requests: int,
) -> list[str]:
    lag = course.lag
    problems = list(course.lost)
    if course.stop is not None:
        of_planned = "" if course.planned is None else f" of {course.planned}"
        problems.append(
            f"interrupted by {course.stop.signal.name}: {requests}{of_planned} requests sent"
        )
    if (delay["p99"] or 0) > MAX_SCHEDULE_DELAY_MS:
        problems.append(
            f"the client was late: p99 schedule delay {delay['p99']:.1f} ms is above"
            f" {MAX_SCHEDULE_DELAY_MS:g} ms"
        )
    if (lag["p99"] or 0) > MAX_LOOP_LAG_MS:
        problems.append(
            f"the client was saturated: its event loop was {lag['p99']:.1f} ms late at p99, and so"
            " were its timestamps; give it --workers or a lower rate"
        )
    elif course.busiest_cpu > MAX_CPU and (lag["p90"] or 0) > 1:
        problems.append(
            f"the client was saturated: a worker used {course.busiest_cpu:.0%} of a processor;"
            " give it --workers or a lower rate"
        )
    peak = max(course.peaks, default=0)
    if peak > CONNECTION_LIMIT:
        problems.append(
            f"requests waited in the client: {peak} in flight over {CONNECTION_LIMIT} connections"
        )
    return problems
