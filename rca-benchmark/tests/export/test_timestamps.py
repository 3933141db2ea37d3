from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.export.timestamps import parse_clock, parse_time

SECOND = 1_000_000_000
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    "value",
    [
        NOON // SECOND,
        float(NOON // SECOND),
        f"{NOON // SECOND}.000",
        "2026-11-23T12:00:00Z",
        "2026-11-23T13:00:00+01:00",
        "2026-11-23 12:00:00,000",
        "2026-11-23T12:00:00.000000",
    ],
)
def test_all_forms_of_a_time(value):
    assert parse_time(value) == NOON


@pytest.mark.parametrize("value", ["soon", "", "nan", True, None, [1]])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        parse_time(value)


def test_milliseconds_are_exact():
    assert parse_time("1795417200.123") == 1_795_417_200_123_000_000


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(-180, 180))  # noqa: DTZ001
def test_a_missing_year_is_the_nearest_one(moment, days_away):
    exact = parse_time(moment.isoformat())
    near = exact + days_away * 86_400 * SECOND
    if moment.month == 2 and moment.day == 29:
        return
    fraction = f"{moment.microsecond:06d}"
    assert parse_clock(f"{moment:%m-%d}", f"{moment:%H:%M:%S}", fraction, near) == exact


def test_a_date_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no such date"):
        parse_clock("13-40", "00:00:00", "", NOON)
