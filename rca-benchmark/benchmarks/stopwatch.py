"""CPU seconds and peak memory of a call, up to a limit. Needs nothing but a Python."""

import resource
import signal
import time
from pathlib import Path

WARM_UP_SECONDS = 5.0
REPEATED_BELOW = 1.0
REPEATS = 3
CHECK_EVERY = 0.5


class LimitReached(BaseException):
    """The limit of CPU time; not an ``Exception``, so that no method takes it for its own."""


def measure(make_call, make_warm_up, limit):
    """CPU seconds of a call, the best of three where it takes less than one.

    Args:
        make_call: prepares a fresh call; this is not measured.
        make_warm_up: the same on a small case; it runs first, so that imports are not measured.
        limit: CPU seconds.

    Returns:
        ``seconds`` and ``mib`` (growth of the process's resident memory to its peak); or ``over``,
        the limit; or ``error``, what the call raised.
    """
    try:
        limited(make_warm_up(), WARM_UP_SECONDS)
    except Exception as error:  # noqa: BLE001 - the call itself will tell
        del error
    try:
        seconds, mib = timed(make_call(), limit)
        if seconds is None:
            return {"over": limit}
        if seconds < REPEATED_BELOW:
            others = [timed(make_call(), limit)[0] for _ in range(REPEATS - 1)]
            seconds = min([seconds, *(other for other in others if other is not None)])
    except Exception as error:  # noqa: BLE001 - whatever it raises is what it answers
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {"seconds": seconds, "mib": mib}


def timed(call, limit):
    """CPU seconds, or None where they passed the limit, and the growth of memory in MiB."""
    before = memory("VmRSS")
    reset_peak()
    start = time.process_time()
    finished = limited(call, limit)
    seconds = time.process_time() - start
    return seconds if finished else None, max(memory("VmHWM") - before, 0.0)


def limited(call, limit):
    """Whether the call ended within so many CPU seconds.

    A timer of wall time looks at the clock of CPU time: a timer of CPU time would make that clock
    as coarse as its ticks.
    """
    end = time.process_time() + limit

    def look(*_):
        if time.process_time() > end:
            raise LimitReached

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, CHECK_EVERY, CHECK_EVERY)
    try:
        call()
    except LimitReached:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def memory(field):
    """A field of the process's status in MiB; where there is none, the highest so far."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak():
    """Start VmHWM anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return
