"""Durations as people write them."""

from __future__ import annotations

import argparse
import re

from llm_benchmark.clock import SECOND_NS

UNITS_NS = {
    "us": SECOND_NS // 1_000_000,
    "ms": SECOND_NS // 1000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}


def duration(text: str) -> int:
    """Read a duration such as ``500ms``, ``60s``, ``2m`` or ``1.5h``; return ns, zero or above."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration; give a number and a unit: 500ms, 60s, 2m, 1h"
        )
    return round(float(match[1]) * UNITS_NS[match[2]])


def positive_duration(text: str) -> int:
    """Read a duration above zero; return ns."""
    value = duration(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be above zero")
    return value


def show_duration(value_ns: int) -> str:
    """Return a duration as text that ``duration`` reads back exactly to the microsecond."""
    for unit in ("h", "m", "s", "ms"):
        if value_ns and value_ns % UNITS_NS[unit] == 0:
            return f"{value_ns // UNITS_NS[unit]}{unit}"
    return f"{value_ns / UNITS_NS['us']:g}us" if value_ns else "0s"
