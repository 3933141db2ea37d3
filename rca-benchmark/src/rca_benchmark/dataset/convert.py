"""A data set of any layout as a native one, or as folders that RCAEval itself reads."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from rca_benchmark.dataset import find_cases, native, read_case
from rca_benchmark.dataset.derived import write_series
from rca_benchmark.dataset.index import write_index
from rca_benchmark.dataset.layout import SECOND_NS
from rca_benchmark.dataset.parquet import write_parquet
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rca_benchmark.case import Case

FORMATS: Final = ("native", "rcaeval")


def convert(
    source: Path,
    to: str,
    out: Path,
    *,
    name: str,
    version: str,
    licence: str,
    done: Callable[[str], None],
) -> int:
    """Write all cases of a data set in another layout, all of them or none.

    Args:
        source: a data set in any layout.
        to: one of ``FORMATS``.
        out: folder to write; must not exist.
        name: name of the new data set.
        version: its version; only the native layout keeps it.
        licence: its licence; only the native layout keeps it.
        done: called with the name of each case.

    Returns:
        The number of cases.

    Raises:
        CaseError: a case cannot be read, or cannot be said in the other layout.
    """
    refs = find_cases(source)
    numbers: Counter[tuple[str, str]] = Counter()
    with whole_folder(out) as partial:
        for ref in refs:
            case = read_case(ref)
            if to == "native":
                _write_native(partial, case, ref.path if ref.layout == native.NAME else None)
            else:
                pair = (case.truth.service, case.truth.fault)
                numbers[pair] += 1
                write_rcaeval(partial / "_".join(pair) / str(numbers[pair]), case)
            done(case.name)
        if to == "native":
            write_index(partial, name=name, version=version, licence=licence)
    return len(refs)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` at the end, or goes if anything fails.

    Raises:
        CaseError: ``out`` is already there.
    """
    native.refuse_existing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        partial.chmod(0o755)
        yield partial
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_native(root: Path, case: Case, source: Path | None) -> None:
    """One native case; attachments and quality are kept where the source is native too."""
    manifest = native.read_manifest(source) if source else {}
    paths = [source / name for name in native.ATTACHMENTS] if source else []
    metrics = case.observation.metrics
    quality: dict[str, Any] = dict(manifest.get("quality", {}))
    native.write_case(
        root / case.name.replace("/", "-"),
        case.observation,
        case.truth,
        attachments={path.name: path for path in paths if path.is_file()},
        absent=[str(name) for name in metrics.columns[metrics.isna().all()]],
        quality=quality | ({"notes": list(case.notes)} if case.notes else {}),
    )


def write_rcaeval(directory: Path, case: Case) -> None:
    """One case as a folder that RCAEval reads: ``read_data``, ``read_metrics``, ``read_logs``.

    Values keep all their digits. The inject time is rounded up to the whole second, which leaves
    every row on its side of it. The layout has no place for topology, notes and the timeline.

    Raises:
        CaseError: RCAEval's layout cannot say it: names with an underscore, steps below a second.
    """
    service, fault = case.truth.service, case.truth.fault
    if "_" in fault or "/" in service + fault:
        raise CaseError(
            f"{case.name}: {service}_{fault} cannot be a folder name in RCAEval's layout"
        )
    observation = case.observation
    times = observation.metrics["time"]
    if (times % SECOND_NS).any():
        raise CaseError(f"{case.name}: metrics are not on whole seconds, as RCAEval's layout needs")
    directory.mkdir(parents=True, exist_ok=True)
    metrics = observation.metrics.assign(time=times // SECOND_NS)
    metrics.to_csv(directory / "data.csv", index=False)
    write_parquet(directory / "metrics.parquet", metrics)
    inject_s = -(-case.truth.injection.active_ns // SECOND_NS)
    (directory / "inject_time.txt").write_text(f"{inject_s}\n", encoding="utf-8")
    if not observation.logs.empty:
        _log_rows(observation.logs).to_csv(directory / "logs.csv", index=False)
    if not observation.traces.empty:
        _trace_rows(observation.traces).to_csv(directory / "traces.csv", index=False)
    write_series(directory, observation)


def _log_rows(logs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": _clock(logs["time"]),
            "timestamp": logs["time"],
            "container_name": logs["service"],
            "message": logs["message"],
            "level": logs["level"],
        }
    )


def _trace_rows(traces: pd.DataFrame) -> pd.DataFrame:
    start = traces["startTime"]
    return traces.assign(time=_clock(start * 1000), startTimeMillis=start // 1000)


def _clock(times_ns: pd.Series) -> pd.Series:
    """Hour and minute, UTC, as in the published files."""
    return pd.to_datetime(times_ns, unit="ns", utc=True).dt.strftime("%H:%M")
