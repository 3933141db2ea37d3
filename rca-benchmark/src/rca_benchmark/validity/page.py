"""The validity report as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from rca_benchmark.errors import CaseError
from rca_benchmark.validity.effects import (
    NEIGHBOUR_MEASURES,
    effect_table,
    moves,
    neighbour_table,
    rejected_table,
)
from rca_benchmark.validity.leaks import rule_table, shape_table
from rca_benchmark.validity.recordings import read_recordings
from rca_benchmark.validity.repeats import CONFIDENCE, repeat_table, schema_differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rca_benchmark.validity.recordings import Recording

SHOWN_RULES = 5


def validity_page(root: Path, against: Path | None = None) -> tuple[str, bool]:
    """The report on a native data set, and whether all is well with it.

    Args:
        root: the data set.
        against: another recording of the same plan, to compare it with.

    Returns:
        Markdown; and True if nothing tells on the targets and, against another recording, schema
        and effect sizes are the same.

    Raises:
        CaseError: there is no case with a fault, one cannot be read, or the other recording has
            too few cases to compare with.
    """
    recordings = read_recordings(root)
    accepted = [recording for recording in recordings if not recording.reasons] or recordings
    shapes, rules = shape_table(accepted), rule_table(accepted)
    lines = [
        *_effects(accepted),
        *_neighbours(accepted),
        *_rejected(recordings),
        *_leaks(shapes, rules),
    ]
    sound = bool((shapes["values"] == 1).all() and not rules["tells"].any())
    if against is not None:
        first = [recording for recording in read_recordings(against) if not recording.reasons]
        differences = schema_differences(first, accepted)
        repeats = repeat_table(first, accepted, accepted[0].observation.sli)
        compared = repeats.dropna(subset=["low", "high"])
        if compared.empty:
            faults = ", ".join(sorted(set(repeats["fault"])))
            text = f"{against}: too few cases of {faults} to compare {root} with"
            raise CaseError(f"{text}; expected the recording that has more cases")
        lines += _repeats(differences, repeats)
        sound = sound and not differences and bool(compared["inside"].all())
    return "\n".join(lines) + "\n", sound


def _effects(recordings: Sequence[Recording]) -> Iterator[str]:
    sli = recordings[0].observation.sli
    yield "## Effects"
    yield ""
    yield (
        f"Change of the median from before the fault to during it. SLI: {sli or 'none'}. `moved`: "
        "share of the cases in which the median moved by three robust standard deviations or more."
    )
    yield ""
    table = effect_table(moves(recordings), sli)
    yield from _markdown(
        [
            "fault",
            "cases",
            "SLI",
            "range",
            "SLI moved",
            "own moved",
            "what moves most at the target",
        ],
        [
            [
                row.fault,
                row.cases,
                _change(row.sli_change),
                f"{_change(row.sli_low)} to {_change(row.sli_high)}",
                _share(row.sli_moved),
                _share(row.own_moved),
                row.signature,
            ]
            for row in _rows(table)
        ],
    )


def _neighbours(recordings: Sequence[Recording]) -> Iterator[str]:
    yield "## Neighbours"
    yield ""
    yield (
        "Change at the other replicas while one has the fault, median and range over the cases: "
        "the load that they carry, how long a step of their engines takes, and how much CPU time "
        "their limits withhold, per token and per CPU time used. In controls: at every replica."
    )
    yield ""
    yield from _markdown(
        ["fault", "cases", "load", "step time", "throttling per token", "per CPU time"],
        [
            [row.fault, row.cases, *(_change_and_range(row, name) for name in NEIGHBOUR_MEASURES)]
            for row in _rows(neighbour_table(recordings))
        ],
    )


def _change_and_range(row: Any, measure: str) -> str:
    low, high = (getattr(row, f"{measure}_{end}") for end in ("low", "high"))
    return f"{_change(getattr(row, measure))} ({_change(low)} to {_change(high)})"


def _rejected(recordings: Sequence[Recording]) -> Iterator[str]:
    yield "## Rejected"
    yield ""
    table = rejected_table(recordings)
    yield from _markdown(
        ["fault", "recorded", "rejected", "reasons"],
        [[row.fault, row.recorded, row.rejected, row.reasons] for row in _rows(table)],
    )


def _leaks(shapes: pd.DataFrame, rules: pd.DataFrame) -> Iterator[str]:
    yield "## Leaks"
    yield ""
    yield from _markdown(
        ["must be the same everywhere", "values"],
        [
            [row.property, row.values_]
            for row in _rows(shapes.rename(columns={"values": "values_"}))
        ],
    )
    telling = int(rules["tells"].sum())
    yield (
        f"{len(rules)} rules guess the target from what can be known before the fault; "
        f"{telling} of them are right more often than chance allows (permutation test, "
        f"Holm-corrected p < 0.01). The {SHOWN_RULES} with the smallest p:"
    )
    yield ""
    yield from _markdown(
        ["rule", "right", "by chance", "p"],
        [
            [row.rule, _share(row.right), _share(row.chance), f"{row.p:.2g}"]
            for row in _rows(rules.head(max(SHOWN_RULES, telling)))
        ],
    )


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def _repeats(differences: Sequence[str], repeats: pd.DataFrame) -> Iterator[str]:
    yield "## Recorded again"
    yield ""
    yield f"Schema: {'differs in ' + ', '.join(differences) if differences else 'the same'}."
    yield ""
    yield (
        "Change of the SLI in each case, and where one further case of that fault at that target "
        f"was to be expected ({CONFIDENCE:.0%} prediction interval; -: too few cases to say)."
    )
    yield ""
    yield from _markdown(
        ["case", "fault", "target", "SLI", "expected", "inside"],
        [
            [row.case, row.fault, row.target or "-", _change(row.change), *_expected(row)]
            for row in _rows(repeats)
        ],
    )


def _expected(row: Any) -> tuple[str, str]:
    if pd.isna(row.low):
        return "-", "-"
    return f"{_change(row.low)} to {_change(row.high)}", "yes" if row.inside else "no"


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
    yield ""


def _change(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:+.0%}"


def _share(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.0%}"
