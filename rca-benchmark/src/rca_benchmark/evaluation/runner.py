"""Run methods on cases, in this process or in several."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rca_benchmark.dataset import read_case
from rca_benchmark.errors import CaseError, MethodFailed
from rca_benchmark.evaluation.results import SCHEMA
from rca_benchmark.evaluation.scoring import rank_of
from rca_benchmark.methods import Ranking, get_method
from rca_benchmark.methods.ranking import candidate_indicators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rca_benchmark.case import Case, Observation
    from rca_benchmark.dataset import CaseRef
    from rca_benchmark.methods import Method

Row = dict[str, Any]


def evaluate(
    refs: Sequence[CaseRef],
    methods: Sequence[str],
    *,
    seed: int,
    workers: int,
    done: Callable[[CaseRef], None],
) -> pa.Table:
    """One row per case and method, in the order given, the same for any number of workers.

    Args:
        refs: the cases.
        methods: names of registered methods.
        seed: all seeds are derived from it.
        workers: number of processes; 1 stays in this one.
        done: called after each case.

    Raises:
        BenchError: a method is not registered.
    """
    for name in methods:
        get_method(name)
    run = partial(evaluate_case, methods=tuple(methods), seed=seed)
    rows: list[Row] = []
    for ref, of_case in zip(refs, _map(run, refs, workers), strict=True):
        rows.extend(of_case)
        done(ref)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def evaluate_case(ref: CaseRef, methods: tuple[str, ...], seed: int) -> list[Row]:
    """One row per method. An unreadable case gives rows of status ``error``."""
    try:
        case = read_case(ref)
    except CaseError as error:
        row = {"dataset": ref.dataset, "case": ref.name, "status": "error", "reason": str(error)}
        return [row | {"method": name} for name in methods]
    return [run_method(get_method(name), case, seed) for name in methods]


def run_method(method: Method, case: Case, seed: int) -> Row:
    """Run one method on one case and score it."""
    method_seed = derive_seed(seed, case.digest, method.name)
    row: Row = {
        "dataset": case.dataset,
        "case": case.name,
        "method": method.name,
        "fault": case.truth.fault,
        "target": case.truth.service,
        "indicator": case.truth.indicator,
        "candidates": len(case.observation.services),
        "candidate_indicators": len(candidate_indicators(case.observation)),
        "seed": method_seed,
    }
    start = time.perf_counter()
    try:
        ranking = method.function(case.observation, np.random.default_rng(method_seed))
        _check_ranking(ranking, case.observation)
    except MethodFailed as failure:
        outcome: Row = {"status": "failed", "reason": str(failure)}
    except Exception as error:  # noqa: BLE001 - whatever a method raises is its own failure
        outcome = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    else:
        outcome = _score(ranking, case)
    return row | outcome | {"seconds": time.perf_counter() - start}


def derive_seed(seed: int, digest: str, method: str) -> int:
    """A seed that depends on the case's content and the method, not on order or place."""
    material = hashlib.sha256(f"{seed}:{digest}:{method}".encode()).digest()
    return int.from_bytes(material[:8], "big") >> 1  # 63 bits: fits a signed column


def _score(ranking: Ranking, case: Case) -> Row:
    truth = case.truth
    return {
        "status": "ok",
        "services": list(ranking.services),
        "indicators": list(ranking.indicators),
        "rank_service": rank_of(truth.service, ranking.services),
        "rank_indicator": rank_of(truth.indicator, ranking.indicators) if truth.indicator else None,
    }


def _check_ranking(ranking: Ranking, observation: Observation) -> None:
    if not isinstance(ranking, Ranking):
        raise MethodFailed(f"answered with a {type(ranking).__name__} instead of a ranking")
    names = ranking.indicators
    if not names:
        raise MethodFailed("answered with an empty ranking")
    if len(set(names)) != len(names):
        raise MethodFailed("answered with a ranking that repeats an indicator")
    if unknown := set(names) - set(candidate_indicators(observation)):
        raise MethodFailed(f"ranked {min(unknown)}, which is no indicator of a candidate")


def _map(
    run: Callable[[CaseRef], list[Row]], refs: Iterable[CaseRef], workers: int
) -> Iterator[list[Row]]:
    if workers == 1:
        yield from map(run, refs)
        return
    # Spawned, not forked: the parent may hold threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(run, refs)
