"""One run from its options to its files and its exit status."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_benchmark.client import Client, open_session
from llm_benchmark.clock import MILLISECOND_NS, Clock, iso
from llm_benchmark.files import partial_path, write_json
from llm_benchmark.plan import make_plan
from llm_benchmark.records import PARTIAL_NAME, RECORDS_NAME, RecordWriter
from llm_benchmark.report import Progress, print_summary
from llm_benchmark.spans import SpanWriter
from llm_benchmark.summary import SUMMARY_NAME, error_classes, summarise
from llm_benchmark.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from llm_benchmark.options import RunOptions
    from llm_benchmark.plan import Plan
    from llm_benchmark.records import Record
    from llm_benchmark.worker import Stop

STARTED_NAME = "started.json"
# Between the decision to start and the instant from which the schedule counts.
LEAD_NS = 50 * MILLISECOND_NS
# How often records are written; a crash loses no more than this and the write itself.
TICK_S = 0.5


def run_load(options: RunOptions, api_key: str | None) -> int:
    """Run the load and write its files.

    Args:
        options: What to do; checked.
        api_key: Sent to the server; None sends none.

    Returns:
        Exit status: 0, 1 when every request failed, 128 and the signal's number when interrupted.

    Raises:
        OptionError: The options plan no request, or the prompt file cannot be used.
        OSError: The results cannot be written.
    """
    plan = make_plan(options)
    _clear(options)
    _raise_file_limit()
    drive = _Drive(plan, api_key)
    asyncio.run(drive.run())
    records = drive.finish()
    summary = summarise(
        records,
        options,
        start_ns=drive.start_ns,
        planned=len(plan.due_ns),
        stop=drive.stopped,
    )
    write_json(options.out / SUMMARY_NAME, summary)
    print_summary(summary)
    return _exit_status(records, summary, drive.stopped)


class _Drive:
    """Worker, writers and progress of one run, bound together."""

    def __init__(self, plan: Plan, api_key: str | None) -> None:
        options = plan.options
        self._plan = plan
        self._api_key = api_key
        self._clock = Clock.start()
        self._records = RecordWriter(options.out)
        self._spans = options.spans and SpanWriter(options.spans, plan.provider.path)
        self._progress = Progress(len(plan.due_ns), self._clock.now())
        self._failure: OSError | None = None
        self.start_ns = 0
        self.stopped: Stop | None = None

    async def run(self) -> None:
        options = self._plan.options
        async with open_session() as session:
            client = Client(
                session,
                base_url=options.url,
                provider=self._plan.provider,
                api_key=self._api_key,
                timeout_ns=options.timeout_ns,
                clock=self._clock,
            )
            self.start_ns = self._clock.now() + LEAD_NS
            worker = Worker(
                self._plan,
                client,
                self._clock,
                start_ns=self.start_ns,
                on_first=lambda: self._guard(worker, self._announce),
                on_record=self._add,
            )
            self._listen(worker)
            ticker = asyncio.create_task(self._tick(worker))
            await worker.run()
            ticker.cancel()
        self._progress.finish(worker.sent)
        self.stopped = worker.stopped
        if self._failure is not None:
            raise self._failure

    def finish(self) -> pa.Table:
        """Put the complete files in place and return the records."""
        if self._spans:
            self._spans.finish()
        return pq.read_table(self._records.finish())

    def _listen(self, worker: Worker) -> None:
        def stop(number: signal.Signals) -> None:
            if worker.stopped is None:
                self._progress.say(f"{number.name}: no more requests; waiting for those in flight")
            worker.stop(number, self._plan.options.grace_ns)

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)

    def _add(self, record: Record) -> None:
        self._records.add(record)
        if self._spans:
            self._spans.add(record)
        self._progress.add(record)

    async def _tick(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._guard(worker, self._flush)
            self._progress.show(worker.sent, self._clock.now())

    def _flush(self) -> None:
        self._records.flush()
        if self._spans:
            self._spans.flush()

    def _announce(self) -> None:
        started = {"started": iso(self.start_ns), "started_ns": self.start_ns}
        write_json(self._plan.options.out / STARTED_NAME, started)

    def _guard(self, worker: Worker, write: Callable[[], None]) -> None:
        """Write; on failure end the run, for a load whose records are lost is worth nothing."""
        try:
            write()
        except OSError as error:
            self._failure = error
            worker.give_up(0)


def _clear(options: RunOptions) -> None:
    """Make the folders, and remove an earlier run's files: their reader must not take them."""
    options.out.mkdir(parents=True, exist_ok=True)
    stale: list[Path] = [
        options.out / name for name in (STARTED_NAME, SUMMARY_NAME, RECORDS_NAME, PARTIAL_NAME)
    ]
    if options.spans:
        options.spans.parent.mkdir(parents=True, exist_ok=True)
        stale += [options.spans, partial_path(options.spans)]
    for path in stale:
        path.unlink(missing_ok=True)


def _raise_file_limit() -> None:
    """Allow as many open connections as the system lets this process have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _exit_status(records: pa.Table, summary: dict[str, Any], stop: Stop | None) -> int:
    if stop is not None:
        return 128 + stop.signal
    if summary["errors"] < summary["requests"]:
        return 0
    commonest = next(iter(error_classes(records)))
    example = records.filter(pc.equal(records["error_class"], commonest))["error"][0].as_py()
    print(
        f"llm-benchmark: every request failed; commonest reason: {commonest}: {example}",
        file=sys.stderr,
    )
    return 1
