"""Series of a range query, one after the other, from the bytes of Prometheus' answer as they come.

Format: prometheus.io/docs/prometheus/latest/querying/api/#range-vectors. An answer may be hundreds
of megabytes long, so only one series at a time is held as text. The frame around the series is
found by the marks that Prometheus writes; inside a JSON text they could not stand, as quotes are
escaped there. An answer in other clothes (blanks, another order of keys) is read as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rca_benchmark.export.requesting import PassingError, RefusedError, parse_json, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_FIRST: Final = b'"result":['
_VALUES: Final = b',"values":[['
_END: Final = b"]]}"


class Series(NamedTuple):
    """One series: its labels, and samples as (times in UTC epoch ns, values)."""

    labels: dict[str, str]
    times_ns: NDArray[np.int64]
    samples: NDArray[np.float64]


class MatrixReader:
    """Takes an answer in pieces and hands on each series as soon as it is whole.

    Args:
        take: called with each series.
        step_ns: of the query. All its times are whole steps after the first one and rise, so as
            many samples as there are steps from the first to the last have the times of the steps.
    """

    def __init__(self, take: Callable[[Series], None], step_ns: int) -> None:
        self._take = take
        self._step_ns = step_ns
        self._head: bytes | None = None  # all before the first series
        self._rest = b""  # what has not been read yet
        self._searched = 0  # how far of it holds no end of a series

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        self._rest += piece
        if self._head is None:
            if (place := self._rest.find(_FIRST)) < 0:
                return
            start = place + len(_FIRST)
            self._head, self._rest = self._rest[:start], self._rest[start:]
        start = 0
        while (text := self._next(start)) is not None:
            start += len(text)
            self._take(_read_series(text.lstrip(b","), self._step_ns))
        self._rest = self._rest[start:]

    def finish(self) -> None:
        """Check that the answer was whole and a success.

        Raises:
            PassingError: it was cut, or is no JSON.
            RefusedError: it says that the query failed, or that its result is no range.
        """
        document = parse_json((self._head or b"") + self._rest)
        if not isinstance(document, dict) or document.get("status") != "success":
            raise RefusedError(shorten(repr(document)))
        data = document.get("data")
        if not isinstance(data, dict) or data.get("resultType") != "matrix":
            raise RefusedError(f"no matrix but {shorten(repr(data))}")
        for series in data.get("result") or ():
            self._take(_plain_series(series))

    def _next(self, start: int) -> bytes | None:
        """The text of the next whole series from ``start`` on, with the comma before it."""
        begin = self._rest.find(_VALUES, start, None)
        if begin < 0:
            return None
        end = self._rest.find(_END, max(begin, self._searched))
        if end < 0:
            self._searched = max(0, len(self._rest) - len(_END) - start)
            return None
        self._searched = 0
        return self._rest[start : end + len(_END)]


def _read_series(text: bytes, step_ns: int) -> Series:
    """One series from its text; without quotes and inner brackets its numbers parse at once."""
    place = text.find(_VALUES)
    body = text[place + len(_VALUES) : -len(_END)]
    if b"N" in body or b"I" in body:  # NaN, Inf: no numbers of JSON
        return _plain_series(parse_json(text))
    labels = parse_json(text[:place] + b"}")
    numbers = parse_json(b"[" + body.translate(None, b'"[]') + b"]")
    try:
        times, samples = numbers[0::2], np.array(numbers[1::2], dtype=np.float64)
        first, last = _nanoseconds(np.array([times[0], times[-1]], dtype=np.float64)).tolist()
        if last - first == (len(times) - 1) * step_ns and samples.size == len(times):
            times_ns = np.arange(len(times), dtype=np.int64) * step_ns + first
        else:
            times_ns = _nanoseconds(np.array(times, dtype=np.float64).reshape(samples.shape))
        return Series(dict(labels["metric"]), times_ns, samples)
    except (KeyError, TypeError, ValueError) as error:
        raise PassingError(f"a series that cannot be used: {error!r}") from error


def _plain_series(series: Any) -> Series:
    try:
        pairs = series["values"]
        times = np.array([float(time) for time, _ in pairs])
        values = np.array([float(value) for _, value in pairs])
        return Series(dict(series["metric"]), _nanoseconds(times), values)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"a series that cannot be used: {error!r}") from error


def _nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Prometheus has milliseconds; a float of epoch seconds is exact to less than those."""
    return np.rint(seconds * 1000).astype(np.int64) * 1_000_000
