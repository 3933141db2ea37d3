"""One run from its options to its files and its exit status."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_benchmark.client import tls_context
from llm_benchmark.clock import MILLISECOND_NS, SECOND_NS, Clock, iso
from llm_benchmark.crew import Crew
from llm_benchmark.errors import OptionError
from llm_benchmark.files import partial_path, write_json
from llm_benchmark.live import Metrics, ProgressLine
from llm_benchmark.options import OPEN, api_key
from llm_benchmark.plan import ENDLESS_NS, Plan
from llm_benchmark.records import PARTIAL_PATTERN, RECORDS_NAME, row_groups, write_parquet
from llm_benchmark.reports.run_page import REPORT_NAME, write_report
from llm_benchmark.reports.terminal import CSV_NAME, print_summary, write_csv
from llm_benchmark.schedules import load_of, write_schedule
from llm_benchmark.spans import SpanWriter
from llm_benchmark.summary import SUMMARY_NAME, Course, Figures, Stop, Window, spread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llm_benchmark.arrivals import Profile
    from llm_benchmark.options import RunOptions
    from llm_benchmark.plan import Load

STARTED_NAME = "started.json"
SCHEDULE_NAME = "schedule.parquet"
# Between the decision to start and the instant from which the schedule counts.
LEAD_NS = 100 * MILLISECOND_NS
TICK_S = 0.25


def run_load(options: RunOptions) -> int:
    """Run the load and write its files.

    Args:
        options: What to do; checked.

    Returns:
        Exit status: 0, 1 when every request failed or a worker died, 128 and the signal's number
        when interrupted.

    Raises:
        OptionError: The options plan no request, or a file cannot be used.
        OSError: The results cannot be written.
    """
    load = load_of(options)
    plan = Plan(options, load)
    key = api_key(os.environ, plan.provider.key_variable)
    tls_context(options.ca, verify=not options.insecure)
    if options.start_at is not None and options.start_at < time.time_ns():
        raise OptionError(f"--start-at {iso(options.start_at)}: is past; give a later instant")
    _clear(options)
    if load.due_ns is not None:
        write_schedule(load, options.load, options.out / SCHEDULE_NAME)
    run = _Run(options, load, plan.path)
    run.drive(Crew.hire(options, run.clock, key))
    summary, examples = run.conclude()
    print_summary(summary)
    if run.stop is not None:
        return 128 + run.stop.signal
    return 1 if run.lost else _exit_status(summary, examples)


class _Run:
    """What is known of a run while it lasts."""

    def __init__(self, options: RunOptions, load: Load, path: str) -> None:
        self.clock = Clock.start()
        self.stop: Stop | None = None
        self._options = options
        self._load = load
        index, shards = options.shard
        self._due_ns = None if load.due_ns is None else load.due_ns[: load.count][index::shards]
        self._planned = None if load.count is None else len(range(index, load.count, shards))
        self._spans = options.spans and SpanWriter(options.spans, path)
        self._line = ProgressLine(self._planned, self.clock.now())
        self._metrics = None if options.metrics_port is None else Metrics(options.metrics_port)
        self._start_ns = 0
        self._crew = Crew()
        self._halted = False

    @property
    def lost(self) -> tuple[str, ...]:
        """Which workers died, in words."""
        return self._crew.lost

    def drive(self, crew: Crew) -> None:
        """See the workers through the run.

        Raises:
            OSError: Records cannot be written.
        """
        self._crew = crew
        try:
            with _signals(self._halt):
                if self._metrics is not None:
                    self._line.say(f"metrics at {self._metrics.url}")
                while not crew.ready:
                    self._listen()
                self._start()
                while not crew.over:
                    self._listen()
        finally:
            crew.dismiss()
            if self._metrics is not None:
                self._metrics.close()
        self._line.finish(crew.sent)
        if crew.failure:
            raise OSError(crew.failure)

    def conclude(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Put the complete files in place; return the summary and an example of each failure."""
        options = self._options
        if self._spans:
            self._spans.finish()
        window = self._window()
        figures = Figures(window, options.slo)
        # A worker that died early may have left none.
        files = [member.file for member in self._crew.members if member.file.exists()]
        write_parquet(figures.passing(row_groups(files)), options.out / RECORDS_NAME)
        summary = figures.summary(self._course(window), options.describe())
        summary["workers"] = options.workers
        write_json(options.out / SUMMARY_NAME, summary)
        write_csv(summary, options.out / CSV_NAME)
        write_report(options.out)
        for file in files:
            file.unlink()
        return summary, figures.examples

    def _start(self) -> None:
        self._start_ns = self._options.start_at or self.clock.now() + LEAD_NS
        self._crew.start(self._start_ns)
        if self._options.start_at is not None:
            self._line.say(f"ready; the load starts at {iso(self._start_ns)}")

    def _listen(self) -> None:
        for records in self._crew.listen(TICK_S):
            self._line.add(records)
            if self._spans:
                self._spans.add(records)
            if self._metrics is not None:
                self._metrics.add(records)
        now_ns = self.clock.now()
        self._line.show(self._crew.sent, now_ns)
        if self._metrics is not None:
            self._metrics.show(self._crew.sent)
        if self._spans:
            self._spans.flush()
        if self._start_ns and now_ns >= self._start_ns:
            self._announce()
        if (self._crew.failure or self._crew.lost) and not self._halted:
            # Half a load would look like a whole one to the server's telemetry.
            self._halted = True
            self._crew.halt(0)

    def _announce(self) -> None:
        path = self._options.out / STARTED_NAME
        if not path.exists():
            write_json(path, {"started": iso(self._start_ns), "started_ns": self._start_ns})

    def _halt(self, number: signal.Signals) -> None:
        if self.stop is None:
            self.stop = Stop(number, self.clock.now())
            self._line.say(f"{number.name}: no more requests; waiting for those in flight")
            self._crew.halt(self._options.grace)

    def _window(self) -> Window:
        options, start_ns = self._options, self._start_ns
        end_ns = None
        if self._load.duration_ns != ENDLESS_NS:
            end_ns = start_ns + self._load.duration_ns - options.cooldown
        return Window(start_ns, start_ns + options.warmup, end_ns)

    def _course(self, window: Window) -> Course:
        crew = self._crew
        ended = [member.ended for member in crew.members if member.ended is not None]
        load = crew.load
        scheduled = None
        if self._due_ns is not None and window.end_ns is not None:
            due_ns = self._due_ns + window.run_start_ns
            inside = (due_ns >= window.start_ns) & (due_ns < window.end_ns)
            scheduled = int(np.count_nonzero(inside))
        return Course(
            planned=self._planned,
            scheduled=scheduled,
            requested_rate=self._requested_rate(window),
            stop=self.stop,
            lag=spread(load.lag),
            busiest_cpu=load.busiest_cpu,
            cpu_s=load.cpu_s,
            peaks=tuple(one.peak_in_flight for one in ended),
            unsent_turns=sum(one.unsent_turns for one in ended),
            lost=crew.lost,
            clock_drift_ns=self.clock.drift_ns(),
            note=self._load.note,
        )

    def _requested_rate(self, window: Window) -> float | None:
        """Return the mean rate asked for within the window, of this machine's part of the load."""
        if self._options.load.loop != OPEN or window.end_ns is None:
            return None
        profile: Profile = self._options.load.profile
        expected = profile.expected_until(window.end_ns - window.run_start_ns)
        expected -= profile.expected_until(window.start_ns - window.run_start_ns)
        seconds = (window.end_ns - window.start_ns) / SECOND_NS
        return expected / seconds / self._options.shard[1]


@contextmanager
def _signals(handle: Any) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {
        number: signal.signal(number, lambda got, _frame: handle(signal.Signals(got)))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _clear(options: RunOptions) -> None:
    """Make the folders, and remove an earlier run's files: their reader must not take them."""
    options.out.mkdir(parents=True, exist_ok=True)
    own = (STARTED_NAME, SUMMARY_NAME, CSV_NAME, RECORDS_NAME, REPORT_NAME, SCHEDULE_NAME)
    stale: list[Path] = [
        options.out / name for name in own if options.out / name != options.schedule
    ]
    stale += options.out.glob(PARTIAL_PATTERN)
    if options.spans:
        options.spans.parent.mkdir(parents=True, exist_ok=True)
        stale += [options.spans, partial_path(options.spans)]
    for path in stale:
        path.unlink(missing_ok=True)


def _exit_status(summary: dict[str, Any], examples: dict[str, str]) -> int:
    phases = [summary, summary["warmup"], summary["cooldown"]]
    if sum(phase["errors"] for phase in phases) < sum(phase["requests"] for phase in phases):
        return 0
    commonest = next(iter(summary["error_classes"] or examples), "")
    print(
        "llm-benchmark: every request failed; commonest reason:"
        f" {commonest}: {examples.get(commonest, 'no request was sent')}",
        file=sys.stderr,
    )
    return 1
