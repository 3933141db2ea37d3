"""One method on one prepared case, in this process: call, check, score, measure."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rca_benchmark.case import service_of
from rca_benchmark.errors import MethodFailed
from rca_benchmark.evaluation.scoring import rank_of
from rca_benchmark.methods import Ranking
from rca_benchmark.methods.ranking import candidate_indicators
from rca_benchmark.preprocess import without_inject_time

if TYPE_CHECKING:
    from rca_benchmark.case import Case, GroundTruth, Observation
    from rca_benchmark.methods import Method
    from rca_benchmark.preprocess import Prepared

Row = dict[str, Any]


def describe_case(case: Case) -> Row:
    """What every row of a case says, whatever the method.

    ``candidates`` counts the services that a ranking can name: those with an indicator, and the
    target in any case.
    """
    names = candidate_indicators(case.observation)
    return {
        "dataset": case.dataset,
        "case": case.name,
        "case_digest": case.digest,
        "fault": case.truth.fault,
        "target": case.truth.service,
        "indicator": case.truth.indicator,
        "candidates": len({case.truth.service, *map(service_of, names)}),
        "candidate_indicators": len(names),
    }


class PreparedCase:
    """A prepared observation, once as it is and once for methods that are not told the time."""

    def __init__(self, prepared: Prepared) -> None:
        self.gap_share = prepared.gap_share
        self._told = prepared.observation
        self._untold = without_inject_time(prepared.observation)

    def observation_for(self, method: Method) -> Observation:
        """What the method may see."""
        return self._told if method.uses_inject_time else self._untold


def run_method(method: Method, observation: Observation, truth: GroundTruth, seed: int) -> Row:
    """Run one method and score its answer.

    Returns:
        ``status`` (ok, failed, oom), ``reason``, ``services``, ``indicators``, ``rank_service``,
        ``rank_indicator``, ``seconds``, ``cpu_seconds``, ``peak_mb``.
    """
    seed_globals(seed)
    shape = _shape(observation)
    reset_peak()
    start, cpu_start = time.perf_counter(), time.process_time()
    try:
        ranking = method.function(observation, np.random.default_rng(seed))
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        check_ranking(ranking, observation)
        if _shape(observation) != shape:
            raise MethodFailed("changed the observation that it was given")
        row = _answered(ranking, truth)
    except MethodFailed as failure:
        row = {"status": "failed", "reason": str(failure)}
    except MemoryError as error:
        row = {"status": "oom", "reason": f"out of memory: {error}".rstrip(": ")}
    except Exception as error:  # noqa: BLE001 - whatever a method raises is its own failure
        row = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    if row["status"] != "ok":
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return row | {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb("self")}


def check_ranking(ranking: Ranking, observation: Observation) -> None:
    """Refuse what is no answer.

    Raises:
        MethodFailed: it is no ranking, empty, repeats itself or names what cannot be named.
    """
    if not isinstance(ranking, Ranking):
        raise MethodFailed(f"answered with a {type(ranking).__name__} instead of a ranking")
    names = ranking.indicators
    if not names:
        raise MethodFailed("answered with an empty ranking")
    if len(set(names)) != len(names):
        raise MethodFailed("answered with a ranking that repeats an indicator")
    if unknown := set(names) - set(candidate_indicators(observation)):
        raise MethodFailed(f"ranked {min(map(str, unknown))}, which is no indicator of a candidate")


def seed_globals(seed: int) -> None:
    """Seed the generators that libraries share, so that no answer depends on what ran before."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - this is the generator that libraries fall back on


def reset_peak() -> None:
    """Start the measurement of ``peak_mb`` anew. Linux only; elsewhere nothing is measured."""
    with contextlib.suppress(FileNotFoundError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(process: int | str) -> float | None:
    """Highest resident memory of a process in MiB; None where it is gone or not on Linux."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    lines = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    line = next(lines, None)  # a process that has ended has none
    return None if line is None else int(line.split()[1]) / 1024


def _answered(ranking: Ranking, truth: GroundTruth) -> Row:
    return {
        "status": "ok",
        "services": list(ranking.services),
        "indicators": list(ranking.indicators),
        "rank_service": rank_of(truth.service, ranking.services),
        "rank_indicator": rank_of(truth.indicator, ranking.indicators) if truth.indicator else None,
    }


def _shape(observation: Observation) -> tuple[Any, ...]:
    """What betrays a method that adds, drops or reorders columns or rows."""
    tables = (observation.metrics, observation.logs, observation.traces, observation.topology)
    return tuple((len(table), tuple(table.columns)) for table in tables)
