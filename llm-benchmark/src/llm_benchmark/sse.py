"""Server-sent events out of bytes that may be split anywhere.

Follows the parsing rules of https://html.spec.whatwg.org/multipage/server-sent-events.html as far
as they concern event data: lines may end in CR, LF or CRLF, a line that begins with a colon is a
comment, several data lines make one event, a blank line ends it.
"""

from __future__ import annotations


class EventParser:
    """Turns chunks of a response body into the data of its events."""

    __slots__ = ("_after_cr", "_data", "_line")

    def __init__(self) -> None:
        self._line = b""
        self._data: list[bytes] = []
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that this chunk completes, in order."""
        # Nearly every chunk is one whole event of one line.
        if (
            chunk.endswith(b"\n\n")
            and chunk.startswith(b"data: ")
            and chunk.find(b"\n") == len(chunk) - 2
            and not (self._line or self._data)
            and b"\r" not in chunk
        ):
            self._after_cr = False
            return [chunk[6:-2]]
        return self._feed_lines(chunk)

    def _feed_lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            # A line that ended in CR is handed on at once; the LF of a CRLF may come later.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = (self._line + chunk).splitlines(keepends=True)
        self._line = b"" if lines[-1].endswith((b"\r", b"\n")) else lines.pop()
        events = [self._take(line.rstrip(b"\r\n")) for line in lines]
        return [event for event in events if event is not None]

    def rest(self) -> bytes:
        """Return the data of an event that the body's end left without its blank line."""
        self._take(self._line)
        return b"\n".join(self._data)

    def _take(self, line: bytes) -> bytes | None:
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        if not self._data:
            return None
        event = b"\n".join(self._data)
        self._data = []
        return event
