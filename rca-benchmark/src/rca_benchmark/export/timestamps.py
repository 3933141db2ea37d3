"""Times as log files write them, to UTC epoch nanoseconds."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from rca_benchmark.export.base import SECOND_NS


def parse_time(value: object) -> int:
    """Epoch seconds (number or text) or ISO 8601, without a zone taken as UTC.

    Raises:
        ValueError: the value is neither.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a time: {value!r}")
    try:
        seconds = Decimal(str(value))
    except InvalidOperation:
        return _parse_iso(str(value))
    if not seconds.is_finite():
        raise ValueError(f"not a time: {value!r}")
    return int(seconds * SECOND_NS)


def parse_clock(date: str, clock: str, fraction: str, near_ns: int) -> int:
    """A date ``[YYYY-]MM-DD`` (or with slashes), a clock ``HH:MM:SS`` and digits after the point.

    Where the year is missing it is the one that brings the time nearest to ``near_ns``.

    Raises:
        ValueError: there is no such date.
    """
    parts = [int(part) for part in date.replace("/", "-").split("-")]
    hour, minute, second = (int(part) for part in clock.split(":"))
    rest = (hour * 3600 + minute * 60 + second) * SECOND_NS
    rest += int((fraction or "0").ljust(9, "0")[:9])
    if len(parts) == 3:
        return _midnight(*parts) + rest
    year = datetime.fromtimestamp(near_ns // SECOND_NS, UTC).year
    times = []
    for candidate in (year - 1, year, year + 1):
        try:
            times.append(_midnight(candidate, *parts) + rest)
        except ValueError:  # 29 February, in a year that has none
            continue
    if not times:
        raise ValueError(f"no such date: {date}")
    return min(times, key=lambda time: abs(time - near_ns))


@lru_cache(maxsize=64)
def _midnight(year: int, month: int, day: int) -> int:
    return calendar.timegm(datetime(year, month, day, tzinfo=UTC).timetuple()) * SECOND_NS


def _parse_iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return calendar.timegm(moment.utctimetuple()) * SECOND_NS + moment.microsecond * 1000
