"""Metrics of foreign layouts on a fixed step: checked, moved if tolerable, never interpolated."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from rca_benchmark.dataset.layout import SECOND_NS
from rca_benchmark.errors import CaseError

Seconds = npt.NDArray[np.int64]
# How far a row may lie from the step, as a share of it. Scrapers jitter by a second in a minute.
TOLERANCE: Final = 0.05


def to_grid(raw: pd.DataFrame, inject_ns: int | None) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    """Metrics on their fixed step; rows that are missing become null.

    The step is the smallest distance of two rows if all rows lie on it, else the mean distance, a
    gap counted as the steps that it spans. In the second case each row moves to the nearest point
    of the step, by at most ``TOLERANCE`` of it, and the move is noted. Row numbers count from 0,
    without the header.

    Args:
        raw: ``time`` (whole epoch seconds, increasing), then one numeric column per indicator.
        inject_ns: no row may move from one side of the inject time to the other.

    Returns:
        The metrics as in ``Observation``, the step in ns, and the notes.

    Raises:
        CaseError: the message names the row.
    """
    times, values = _times(raw), _values(raw)
    steps = np.diff(times)
    step = int(steps.min())
    notes: tuple[str, ...] = ()
    if (steps % step).any():
        step = round(steps.sum() / np.rint(steps / np.median(steps)).clip(1).sum())
        moved = _move(times, step, inject_ns)
        change = np.abs(moved - times)
        notes = (
            f"metrics: {np.count_nonzero(change)} of {len(times)} rows moved by at most "
            f"{change.max()} s to the step of {step} s",
        )
        times = moved
    grid = np.arange(times[0], times[-1] + step, step, dtype="int64")
    table = np.full((len(grid), values.shape[1]), np.nan)
    table[(times - times[0]) // step] = values
    metrics = pd.DataFrame(table, columns=[name for name in raw.columns if name != "time"])
    metrics.insert(0, "time", grid * SECOND_NS)
    return metrics, step * SECOND_NS, notes


def _times(raw: pd.DataFrame) -> Seconds:
    if "time" not in raw.columns or len(raw) < 2:
        raise CaseError("needs a column time and at least two rows")
    times = pd.to_numeric(raw["time"], errors="coerce").to_numpy(dtype="float64")
    whole = np.isfinite(times) & (times == np.floor(times))
    if not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        raise CaseError(f"row {row}: time {raw['time'].iloc[row]} is not a whole epoch second")
    seconds = times.astype("int64")
    steps = np.diff(seconds)
    if (wrong := np.flatnonzero(steps <= 0)).size:
        row = int(wrong[0]) + 1
        what = "repeats the row before it" if steps[row - 1] == 0 else "is before the row before it"
        raise CaseError(f"row {row}: time does not increase: {seconds[row]} {what}")
    return seconds


def _values(raw: pd.DataFrame) -> npt.NDArray[np.float64]:
    values = raw.drop(columns="time")
    for name, dtype in values.dtypes.items():
        if dtype.kind in "iuf":
            continue
        numbers = pd.to_numeric(values[name], errors="coerce")
        if (bad := np.flatnonzero(numbers.isna() & values[name].notna())).size:
            value = values[name].iloc[int(bad[0])]
            raise CaseError(f"row {bad[0]}: column {name}: {value!r} is not a number")
        values[name] = numbers
    return values.to_numpy(dtype="float64")


def _move(times: Seconds, step: int, inject_ns: int | None) -> Seconds:
    slots = np.rint((times - times[0]) / step).astype("int64")
    moved: Seconds = times[0] + slots * step
    off = np.abs(moved - times)
    if (bad := np.flatnonzero(off > TOLERANCE * step)).size:
        raise CaseError(
            f"row {bad[0]}: time is not on the fixed step of {step} s: {off[bad[0]]} s away, "
            f"{TOLERANCE:.0%} of the step is tolerated"
        )
    if inject_ns is not None:
        crossed = (times * SECOND_NS < inject_ns) != (moved * SECOND_NS < inject_ns)
        if crossed.any():
            row = int(np.flatnonzero(crossed)[0])
            raise CaseError(f"row {row}: the step of {step} s would move it over the inject time")
    return moved
