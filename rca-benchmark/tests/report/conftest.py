"""Results made by hand."""

import pyarrow as pa
import pytest

from rca_benchmark.evaluation.results import SCHEMA, to_frame


def build_row(rank, *, status="ok", services=None, **changes):
    """A row of results: five candidates a to e, the true one at ``rank``; None is no answer."""
    row = {
        "dataset": "demo",
        "case": "c",
        "method": "baro",
        "fault": "cpu",
        "target": "a",
        "tdelta": 0.0,
        "status": status,
        "rank_service": rank,
        "candidates": 5,
        "candidate_indicators": 50,
        "seconds": 0.5,
        "cpu_seconds": 0.5,
        "peak_mb": 100.0,
        "seed": 0,
    } | changes
    if rank is not None:
        others = [name for name in "abcde" if name != row["target"]]
        others.insert(rank - 1, row["target"])
        row["services"] = others
    return row


def build_results(rows):
    return to_frame(pa.Table.from_pylist(rows, schema=SCHEMA))


@pytest.fixture
def row():
    return build_row


@pytest.fixture
def results_of():
    return lambda *rows: build_results(list(rows))


@pytest.fixture
def sweep_results():
    """Three methods on six cases of two faults, over two delays and two lengths; one failure."""
    rows = []
    for number in range(6):
        for place, method in enumerate(("baro", "nsigma", "random")):
            for tdelta, length in ((0.0, None), (30.0, None), (0.0, 60)):
                rank = 1 + place * (1 + number % 2) + (tdelta > 0)
                failed = (method, number) == ("random", 0)
                extra = {"status": "timeout", "reason": "stopped after 2 s <&>"} if failed else {}
                rows.append(
                    build_row(
                        None if failed else min(rank, 5),
                        case=f"c{number}",
                        method=method,
                        fault=("cpu", "network-delay")[number % 2],
                        target="ab"[number // 3],
                        tdelta=tdelta,
                        length=length,
                        seconds=0.01 * 10**place,
                        indicator="a_cpu",
                        rank_indicator=None if failed else 2,
                        **extra,
                    )
                )
    return build_results(rows)
