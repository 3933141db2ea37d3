"""The quality record of a case, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def quality_lines(quality: Mapping[str, Any], absent: Sequence[str]) -> Iterator[str]:
    """One line per fact; the indicators with the most gaps come by name. The verdict comes last."""
    if quality["samples_share"] is not None:
        there = [part for part in quality["samples"].values() if part["received"]]
        received, expected = (sum(part[key] for part in there) for key in ("received", "expected"))
        share = quality["samples_share"]
        yield (
            f"samples: {received} of {expected} in {len(there)} indicators, {share:.1%} where the "
            "fault takes none"
        )
    gaps = sorted(quality["gaps"].items(), key=lambda item: (-item[1], item[0]))
    worst = [f"{name} {share:.1%}" for name, share in gaps if share > 0 and name not in absent]
    yield f"indicators with gaps: {_some(worst)}"
    yield f"indicators absent: {_some(list(absent))}"
    for name, count in quality["counts"].items():
        yield f"{name.replace('_', ' ')}: {count}"
    for clock, skew in quality["clock_skew_s"].items():
        yield f"clock of {clock}: {skew + 0.0:+g} s"
    for target, share in quality["scrapes_during_fault"].items():
        yield f"scrapes of {target} during the fault: {share:.1%}"
    if "load" in quality:
        load = quality["load"]
        yield "the load kept its schedule: " + (
            "yes" if load["valid"] else f"no ({load['reason']})"
        )
    if quality["effect"] is not None:
        yield from _effect_lines(quality["effect"])
    yield f"case {quality['status']}" + "".join(f"; {reason}" for reason in quality["reasons"])


def _some(names: Sequence[str], most: int = 12) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def _effect_lines(effect: Mapping[str, Any]) -> Iterator[str]:
    sli = "none" if effect["sli"] is None else _movement(effect["sli"])
    yield f"SLI moved: {_yes(effect['sli_moved'])} ({sli})"
    yield f"the target's own indicators moved: {_yes(effect['service_moved'])}"
    for name, movement in effect["service"].items():
        if movement["moved"]:
            yield f"  {name}: {_movement(movement)}"


def _movement(movement: Mapping[str, Any]) -> str:
    before, during, z = (
        "none" if movement[key] is None else f"{movement[key]:.4g}"
        for key in ("before", "during", "z")
    )
    return f"mean {before} before, {during} during, robust z {z}"


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
