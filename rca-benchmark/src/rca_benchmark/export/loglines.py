"""A line of a log as time, level and message, in the formats of vLLM, Ray, nginx and JSON."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from rca_benchmark.export.timestamps import parse_clock, parse_time

_DATE = r"(?P<date>(?:\d{4}[-/])?\d\d[-/]\d\d)"
_CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d+))?"
_TEXT_FORMATS: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # vLLM:       INFO 11-23 07:00:12 [loggers.py:12] text
        # Ray Serve:  INFO 2026-11-23 07:00:12,345 proxy 10.0.0.1 file.py:12 - text
        rf"(?P<level>[A-Z]+) {_DATE} {_CLOCK} (?P<message>.*)",
        # Ray:        2026-11-23 07:00:12,345 INFO file.py:12 -- text
        rf"{_DATE} {_CLOCK}\s+(?P<level>[A-Z]+)\s+(?P<message>.*)",
        # Ray core:   [2026-11-23 07:00:12,345 I 12 34] (raylet) file.cc:12: text
        rf"\[{_DATE} {_CLOCK} (?P<level>[A-Z]) [^\]]*\] (?P<message>.*)",
        # nginx:      2026/11/23 07:00:12 [error] 12#12: *1 text
        rf"{_DATE} {_CLOCK} \[(?P<level>[a-z]+)\] (?P<message>.*)",
    )
)
# Colour codes, then what vLLM and Ray put before the lines of a child process.
_PREFIX: Final = re.compile(r"(?:\x1b\[[0-9;]*m\s*|\([^()]*\bpid=\d+[^()]*\)\s*)*")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_TIME_KEYS: Final = ("time", "timestamp", "asctime", "ts")
_LEVEL_KEYS: Final = ("level", "levelname", "severity")
_MESSAGE_KEYS: Final = ("message", "msg", "log")
_LEVELS: Final = {"I": "INFO", "D": "DEBUG", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"} | {
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
}


class Record(NamedTuple):
    """What a line says: time in UTC epoch ns, level in capitals (empty where unknown), message."""

    time: int
    level: str
    message: str


def parse_line(line: str, near_ns: int) -> Record | None:
    """A line as a record; None where it has no time of its own.

    Args:
        line: without a line end.
        near_ns: an instant, UTC epoch ns, that decides the year where a line leaves it out.
    """
    try:
        return _parse_json(line) if line.startswith("{") else _parse_text(line, near_ns)
    except ValueError:  # looks like a record, but its time is none: part of the record before
        return None


def parse_shipped(line: str, time_ns: int) -> Record:
    """A line that a log shipper has already given a time.

    A shipper may wrap the program's own line into JSON (``log``, ``message`` or ``msg``); nothing
    of a line is ever evaluated.
    """
    fields = _json_object(line)
    text = line if fields is None else _first(fields, _MESSAGE_KEYS, line)
    inner = parse_line(text, time_ns) if not text.startswith("{") else None
    level = "" if fields is None else _first(fields, _LEVEL_KEYS, "")
    if inner is None:
        return Record(time_ns, standard_level(level), _COLOUR.sub("", text.rstrip("\r\n")))
    return Record(time_ns, standard_level(level) or inner.level, inner.message.rstrip("\r\n"))


def standard_level(text: str) -> str:
    """A level in capitals, one name for each."""
    upper = text.upper()
    return _LEVELS.get(upper, upper)


def _parse_json(line: str) -> Record | None:
    fields = orjson.loads(line)
    time = next((fields[key] for key in _TIME_KEYS if key in fields), None)
    if time is None:
        return None
    level = _first(fields, _LEVEL_KEYS, "")
    return Record(parse_time(time), standard_level(level), _first(fields, _MESSAGE_KEYS, line))


def _json_object(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        fields = orjson.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _first(fields: dict[str, Any], keys: tuple[str, ...], default: str) -> str:
    return str(next((fields[key] for key in keys if key in fields), default))


def _parse_text(line: str, near_ns: int) -> Record | None:
    body = line[_PREFIX.match(line).end() :]  # type: ignore[union-attr] # matches the empty text
    for pattern in _TEXT_FORMATS:
        if match := pattern.match(body):
            time = parse_clock(match["date"], match["clock"], match["fraction"] or "", near_ns)
            message = match["message"]
            if "\x1b" in message:
                message = _COLOUR.sub("", message)
            return Record(time, standard_level(match["level"]), message)
    return None
