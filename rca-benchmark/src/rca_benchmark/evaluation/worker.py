"""The two ends of a worker process: what runs in it, and what holds it to its limits."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import resource
import signal
import threading
import time
from multiprocessing import connection, forkserver
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rca_benchmark.dataset import CaseRef, read_case
from rca_benchmark.errors import BenchError
from rca_benchmark.evaluation.run_method import PreparedCase, describe_case, peak_mb, run_method
from rca_benchmark.methods import get_method
from rca_benchmark.preprocess import Preparation, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from types import TracebackType

    from rca_benchmark.case import Case
    from rca_benchmark.evaluation.plan import Limits

Row = dict[str, Any]

_MIB: Final = 1 << 20
_BLAS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_STARTED: Final = "started"
_GRACE: Final = 1.0  # seconds that a process whose pipe is closed has to end


class Task(NamedTuple):
    """One method on one case; the row of the case where there is no method."""

    ref: CaseRef
    preparation: Preparation = Preparation()
    method: str = ""
    seed: int = 0


class Stopped(Exception):  # noqa: N818 - an order, not an error
    """The worker was told to stop while a method ran."""


class Worker:
    """A process that runs methods, started anew whenever one kills it or has to be killed.

    One BLAS thread per process, unless the environment says otherwise. One thread uses it as a
    context and calls ``run``; any other may call ``stop``.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._process: ForkServerProcess | None = None
        self._pipe: Connection | None = None
        self._lifeline: Connection | None = None
        self._stopped = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()

    def stop(self) -> None:
        """Make ``run`` raise ``Stopped``, now if a method runs; callable from any thread."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                _kill_group(self._process)

    def run(self, task: Task) -> Row:
        """What the process answers; a row that says why where it dies or runs out of time.

        Raises:
            Stopped: by ``stop``.
        """
        pipe, process = self._started()
        start = time.perf_counter()
        running = False
        try:
            pipe.send(task)
            while True:
                left = self._left(start) if running else None
                ready = connection.wait([pipe, process.sentinel], left)
                if not ready:
                    return self._timed_out(process, start)
                if pipe not in ready:
                    return self._died(process, start, running)
                answer = pipe.recv()
                if answer != _STARTED:
                    break
                running, start = True, time.perf_counter()
        except (EOFError, ConnectionError):
            return self._died(process, start, running)
        if answer["status"] == "oom":  # what it could not allocate may be missing elsewhere
            self._kill()
        row: Row = answer
        return row

    def _left(self, start: float) -> float | None:
        if self._limits.seconds is None:
            return None
        return max(0.0, start + self._limits.seconds - time.perf_counter())

    def _timed_out(self, process: ForkServerProcess, start: float) -> Row:
        peak = peak_mb(process.pid or 0)
        seconds = time.perf_counter() - start
        self._kill()
        reason = f"killed after {self._limits.seconds:g} s"
        return {"status": "timeout", "reason": reason, "seconds": seconds, "peak_mb": peak}

    def _died(self, process: ForkServerProcess, start: float, running: bool) -> Row:
        seconds = time.perf_counter() - start
        process.join(_GRACE)
        code = process.exitcode
        self._kill()
        if self._stopped:
            raise Stopped
        if code is None:
            ended = "closed its pipe"
        else:
            ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if not running:
            return {"status": "error", "reason": f"reading the case ended the process: {ended}"}
        if code == -signal.SIGKILL:
            reason = "killed from outside by SIGKILL, as Linux does when memory runs out"
            return {"status": "oom", "reason": reason, "seconds": seconds}
        return {"status": "failed", "reason": f"ended the process: {ended}", "seconds": seconds}

    def _started(self) -> tuple[Connection, ForkServerProcess]:
        with self._lock:
            if self._stopped:
                raise Stopped
            if self._process is None or self._pipe is None:
                # A server forks the workers: forking this process, which has threads, is unsafe.
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload([__name__])
                with _one_blas_thread():
                    forkserver.ensure_running()
                self._pipe, inner = context.Pipe()
                memory_mb = self._limits.memory_mb
                lifeline, self._lifeline = context.Pipe(duplex=False)
                self._process = context.Process(target=serve, args=(inner, lifeline, memory_mb))
                self._process.start()
                inner.close()
                lifeline.close()
            return self._pipe, self._process

    def _kill(self) -> None:
        with self._lock:
            process, pipe, lifeline = self._process, self._pipe, self._lifeline
            self._process = self._pipe = self._lifeline = None
        if process is None or pipe is None or lifeline is None:
            return
        _kill_group(process)
        process.join()
        process.close()
        pipe.close()
        lifeline.close()


def serve(pipe: Connection, lifeline: Connection, memory_mb: int | None) -> None:
    """What runs in the process: answer tasks until the other end closes.

    Before a method begins, ``_STARTED`` is sent: only from then on does its time count.
    """
    os.setsid()  # a group of its own: what a method starts is killed with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(lifeline)
    if memory_mb is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * _MIB, memory_mb * _MIB))
    bench = _Bench()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(bench.answer(task, pipe))


def _kill_group(process: ForkServerProcess) -> None:
    """Kill a worker process and whatever the method has started in it."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):  # no group yet: it has not begun
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _end_with(lifeline: Connection) -> None:
    """Let the kernel end this process group once the other end of the pipe is gone.

    Nothing is ever sent. Ending the run by SIGKILL closes the other end too, and SIGIO, whose
    default is to end a process, needs no cooperation of a method that holds the interpreter lock.
    """
    descriptor = lifeline.fileno()
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    if lifeline.poll():  # it was gone before
        os._exit(1)


class _Bench:
    """Holds the case and its preparation between two tasks that share them."""

    def __init__(self) -> None:
        self._ref: CaseRef | None = None
        self._case: Case | None = None
        self._preparation: Preparation | None = None
        self._prepared: PreparedCase | None = None

    def answer(self, task: Task, pipe: Connection) -> Row:
        try:
            case = self._read(task.ref)
            if not task.method:
                return {"status": "ok"} | describe_case(case)
            prepared = self._prepare(case, task.preparation)
            method = get_method(task.method)
        except BenchError as error:
            return {"status": "error", "reason": str(error)}
        except MemoryError:
            return {
                "status": "error",
                "reason": "reading the case exceeds the memory limit",
            }
        observation = prepared.observation_for(method)
        pipe.send(_STARTED)
        row = run_method(method, observation, case.truth, task.seed)
        if row["status"] != "ok":  # it may have left the observation half changed
            self._preparation = None
        return row | {"gap_share": prepared.gap_share}

    def _read(self, ref: CaseRef) -> Case:
        if self._case is None or self._ref != ref:
            self._ref = self._preparation = None
            self._case = read_case(ref)
            self._ref = ref
        return self._case

    def _prepare(self, case: Case, preparation: Preparation) -> PreparedCase:
        if self._prepared is None or self._preparation != preparation:
            self._prepared = PreparedCase(prepare(case.observation, preparation))
            self._preparation = preparation
        return self._prepared


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """While the server of the workers starts; a number that the environment names stays."""
    added = [name for name in _BLAS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
