"""The records of several machines, or of several shards, made one run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_benchmark.clock import MILLISECOND_NS
from llm_benchmark.errors import OptionError
from llm_benchmark.files import write_json
from llm_benchmark.records import RECORDS_NAME, row_groups, write_parquet
from llm_benchmark.reports.run_page import read_summary, write_report
from llm_benchmark.reports.terminal import CSV_NAME, write_csv
from llm_benchmark.summary import SUMMARY_NAME, Course, Figures, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST_APART_MS = 10.0
# What may differ between the shards of one run.
OWN = ("url", "shard", "workers", "out", "spans", "schedule", "metrics_port", "ca", "start_at")


def merge(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Join the runs of the shards of one schedule.

    Every figure is worked out anew from all records; what only the machines knew, such as how late
    their event loops were, is that of the worst.

    Args:
        folders: The runs' folders.
        out: Folder of the result.

    Returns:
        The summary, which is not valid unless each part is and none is missing.

    Raises:
        OptionError: The folders are not parts of one run.
        OSError: The result cannot be written.
    """
    summaries = {folder: read_summary(folder) for folder in folders}
    _check(summaries, len(folders))
    parts = list(summaries.values())
    first = parts[0]
    window = _window(parts)
    figures = Figures(window, first["options"]["slo"])
    out.mkdir(parents=True, exist_ok=True)
    groups = row_groups([folder / RECORDS_NAME for folder in folders])
    write_parquet(figures.passing(groups), out / RECORDS_NAME)
    options = first["options"] | {"shard": [0, 1], "out": str(out)}
    summary = figures.summary(_course(summaries), options)
    summary["workers"] = sum(part["workers"] for part in parts)
    write_json(out / SUMMARY_NAME, summary)
    write_csv(summary, out / CSV_NAME)
    write_report(out)
    return summary


def _check(summaries: dict[Path, dict[str, Any]], number: int) -> None:
    (first_folder, first), *others = summaries.items()
    for folder, summary in others:
        for name, value in first["options"].items():
            if name not in OWN and summary["options"][name] != value:
                raise OptionError(
                    f"{folder}: is no part of the run of {first_folder}: its {name} is"
                    f" {summary['options'][name]!r}, not {value!r}"
                )
        if summary["options"]["shard"][1] != first["options"]["shard"][1]:
            raise OptionError(f"{folder}: is a shard of another number than {first_folder}'s")
    shards = [summary["options"]["shard"][0] for summary in summaries.values()]
    if len(set(shards)) < number:
        raise OptionError("two folders hold the same shard; give each once")


def _window(parts: list[dict[str, Any]]) -> Window:
    windows = [part["window"] for part in parts]
    endless = parts[0]["options"]["arrivals"] == "closed" and not parts[0]["options"]["duration"]
    return Window(
        min(window["run_start_ns"] for window in windows),
        min(window["start_ns"] for window in windows),
        None if endless else max(window["end_ns"] for window in windows),
    )


def _course(summaries: dict[Path, dict[str, Any]]) -> Course:
    parts = list(summaries.values())
    number = parts[0]["options"]["shard"][1]
    missing = set(range(number)) - {part["options"]["shard"][0] for part in parts}
    problems = [
        f"{folder}: {part['reason']}" for folder, part in summaries.items() if part["reason"]
    ]
    starts = [part["window"]["run_start_ns"] for part in parts]
    apart_ms = (max(starts) - min(starts)) / MILLISECOND_NS
    if apart_ms > MOST_APART_MS:
        problems.append(
            f"the shards did not start together but {apart_ms:.0f} ms apart; give all the same"
            " --start-at"
        )
    problems += [f"shard {shard}/{number} is missing" for shard in sorted(missing)]
    cpu = [part["client_cpu"] for part in parts]
    return Course(
        planned=_sum(part["planned"] for part in parts),
        scheduled=_sum(
            None
            if part["scheduled_rate"] is None
            else round(part["scheduled_rate"] * part["window"]["duration_s"])
            for part in parts
        ),
        requested_rate=_sum(part["requested_rate"] for part in parts),
        stop=None,
        lag=max((part["loop_lag_ms"] for part in parts), key=lambda lag: lag["p99"] or 0),
        busiest_cpu=max(one["busiest_second"] for one in cpu),
        cpu_s=sum(one["s"] for one in cpu),
        peaks=tuple(part["peak_in_flight"] for part in parts),
        unsent_turns=sum(part["unsent_turns"] for part in parts),
        lost=tuple(problems),
        clock_drift_ns=round(max((part["clock_drift_ms"] for part in parts), key=abs) * 1e6),
        note="; ".join(dict.fromkeys(part["note"] for part in parts if part["note"])),
    )


def _sum(values: Iterator[Any]) -> Any:
    """Return the sum; None: one of them is."""
    known = list(values)
    return None if None in known else sum(known)
