"""Run a plan: in processes of this machine or over a Ray cluster, and only what is missing."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from rca_benchmark.evaluation.plan import derive_seed
from rca_benchmark.evaluation.results import ResultStore, answers_for, identity
from rca_benchmark.evaluation.worker import Stopped, Task, Worker
from rca_benchmark.methods import get_method
from rca_benchmark.methods.version import method_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from rca_benchmark.dataset import CaseRef
    from rca_benchmark.evaluation.plan import Plan
    from rca_benchmark.evaluation.results import Identity, Row

    Known = Mapping[Identity, Row]


def evaluate(
    plan: Plan,
    directory: Path,
    *,
    workers: int = 1,
    ray_address: str | None = None,
    done: Callable[[Row], None] = lambda _row: None,
) -> pa.Table:
    """Run what the folder's results lack of the plan, and keep each row as it comes.

    The rows are the same for any number of workers and over Ray, times and memory aside. Rows of
    earlier runs stay, unless the plan asks for the same case, method and configuration and the
    case, the method, the preparation or the seed has changed since.

    Args:
        plan: what to run.
        directory: gets ``results.parquet``.
        workers: processes on this machine.
        ray_address: address of a Ray cluster that sees the same folders; replaces ``workers``.
        done: called with each row, also with those that were there.

    Returns:
        All rows of the folder.

    Raises:
        BenchError: a method is not registered or lacks a module, another run writes to the
            folder, or Ray is not installed or fails.
    """
    versions = {name: method_version(get_method(name)) for name in plan.methods}
    with ResultStore.opened(directory) as store:
        if ray_address is None:
            rows = rows_from_processes(plan, versions, store.rows, workers)
        else:
            from rca_benchmark.evaluation.over_ray import rows_from_ray

            rows = rows_from_ray(plan, versions, store.rows, ray_address)
        for row in rows:
            store.add(row)
            done(row)
        return store.table()


def run_case(
    worker: Worker, ref: CaseRef, plan: Plan, versions: Mapping[str, str], known: Known
) -> Iterator[Row]:
    """The rows of one case; those that are known are not computed again."""
    case = worker.run(Task(ref))
    if case["status"] == "error":
        case |= {"dataset": ref.dataset, "case": ref.name, "case_digest": ""}
    for preparation in plan.preparations:
        for name in plan.methods:
            row = case | {
                "method": name,
                "method_version": versions[name],
                "tdelta": float(preparation.tdelta),
                "length": preparation.length,
                "preparation": str(preparation),
                "seed": derive_seed(plan.seed, case["case_digest"], name),
                "limit_seconds": plan.limits.seconds,
                "limit_mb": plan.limits.memory_mb,
            }
            kept = known.get(identity(row))
            if case["status"] == "error":
                yield row
            elif kept is not None and answers_for(kept, row):
                yield kept
            else:
                yield row | worker.run(Task(ref, preparation, name, row["seed"]))


def known_of(ref: CaseRef, known: Known) -> Known:
    """The known rows of one case."""
    return {key: row for key, row in known.items() if key[:2] == (ref.dataset, ref.name)}


def rows_from_processes(
    plan: Plan, versions: Mapping[str, str], known: Known, workers: int
) -> Iterator[Row]:
    """Rows as they come; a thread per worker process hands it one case after the other."""
    todo: queue.SimpleQueue[CaseRef] = queue.SimpleQueue()
    for ref in plan.refs:
        todo.put(ref)
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()
    earlier = dict(known)  # the store grows while the threads read
    pool = [Worker(plan.limits) for _ in range(min(workers, len(plan.refs)))]

    def drive(worker: Worker) -> None:
        with worker:
            try:
                for ref in iter(lambda: _next(todo), None):
                    for row in run_case(worker, ref, plan, versions, earlier):
                        found.put(row)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - raised again by the thread that reads
                found.put(error)
        found.put(None)

    threads = [threading.Thread(target=drive, args=(worker,)) for worker in pool]
    for thread in threads:
        thread.start()
    try:
        yield from _until_all_end(found, len(threads))
    finally:
        for worker in pool:
            worker.stop()
        for thread in threads:
            thread.join()


def _next(todo: queue.SimpleQueue[CaseRef]) -> CaseRef | None:
    try:
        return todo.get_nowait()
    except queue.Empty:
        return None


def _until_all_end(found: queue.SimpleQueue[Any], running: int) -> Iterator[Row]:
    while running:
        item = found.get()
        if isinstance(item, Exception):
            raise item
        if item is None:
            running -= 1
        else:
            yield item
