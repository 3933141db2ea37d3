"""The quality record of a case, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def quality_lines(quality: Mapping[str, Any], absent: Sequence[str]) -> Iterator[str]:
    """One line per fact; the indicators with the most gaps come by name."""
    for name, samples in quality["samples"].items():
        yield f"samples of {name}: {samples['received']} of {samples['expected']}"
    if quality["samples_share"] is not None:
        yield f"samples overall: {quality['samples_share']:.1%}"
    gaps = sorted(quality["gaps"].items(), key=lambda item: (-item[1], item[0]))
    worst = [f"{name} {share:.1%}" for name, share in gaps if share > 0 and name not in absent]
    yield f"indicators with gaps: {', '.join(worst) or 'none'}"
    yield f"indicators absent: {', '.join(absent) or 'none'}"
    for name, count in quality["counts"].items():
        yield f"{name.replace('_', ' ')}: {count}"
    for target, share in quality["scrapes_during_fault"].items():
        yield f"scrapes of {target} during the fault: {share:.1%}"
    if quality["effect"] is not None:
        yield from _effect_lines(quality["effect"])


def _effect_lines(effect: Mapping[str, Any]) -> Iterator[str]:
    yield f"SLI moved: {_yes(effect['sli_moved'])} ({_movement(effect['sli'])})"
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
