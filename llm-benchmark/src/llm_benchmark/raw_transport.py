"""Requests over a protocol of our own: HTTP/1.1 without a task, a future or a stream in between.

Each connection is an ``asyncio.Protocol`` whose bytes go through httptools (the parser of uvicorn
and Node.js) straight to the exchange. It can do what a load generator needs and no more: one POST
at a time per connection, answers of known length, chunked, or ended by the connection's end.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httptools

from llm_benchmark.client import KEEPALIVE_S, REPLICA_HEADER, connection_error_class
from llm_benchmark.clock import SECOND_NS

if TYPE_CHECKING:
    from llm_benchmark.client import Target
    from llm_benchmark.exchange import Exchange

KEEPALIVE_NS = round(KEEPALIVE_S * SECOND_NS)
DEFAULT_PORTS = {"http": 80, "https": 443}
REPLICA = REPLICA_HEADER.encode()
FRAMING = (b"content-length", b"transfer-encoding")


class RawTransport:
    """A pool of connections to one server. Made inside a running event loop."""

    def __init__(self, target: Target) -> None:
        self._loop = asyncio.get_running_loop()
        self._target = target
        parts = urlsplit(target.url)
        self._host = parts.hostname or ""
        self._port = parts.port or DEFAULT_PORTS[parts.scheme]
        fields = {"Host": parts.netloc, **target.headers}
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._head = f"POST {path} HTTP/1.1\r\n{_lines(fields)}".encode("latin-1")
        self._timeout_s = target.timeout_ns / SECOND_NS
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._connecting: dict[Exchange, asyncio.Task[None]] = {}
        self._waiting: deque[Exchange] = deque()
        self._carrying: dict[Exchange, _Connection] = {}
        self._deadlines: dict[Exchange, asyncio.TimerHandle] = {}

    def send(self, exchange: Exchange) -> None:
        """Begin to send a request."""
        exchange.sending()
        self._deadlines[exchange] = self._loop.call_later(
            self._timeout_s, self._give_up, exchange, "timeout", self._target.timeout_text
        )
        connection = self._take_idle()
        if connection is not None:
            self._send_on(connection, exchange)
        elif len(self._open) + len(self._connecting) < self._target.limit:
            self._connect(exchange)
        else:
            self._waiting.append(exchange)

    def cancel(self) -> None:
        """Give up every request in flight."""
        for exchange in list(self._deadlines):
            self._give_up(exchange, "cancelled", "the run ended before the answer did")

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)
        for connection in list(self._open):
            connection.abort()

    # What connections tell.

    def opened(self, connection: _Connection) -> None:
        """A connection is there."""
        self._open.add(connection)

    def lost(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if self._waiting:
            self._connect(self._waiting.popleft())

    def over(self, exchange: Exchange) -> None:
        """A request is over."""
        self._carrying.pop(exchange, None)
        self._deadlines.pop(exchange).cancel()

    def free(self, connection: _Connection) -> None:
        """A connection can be used again."""
        if self._waiting:
            self._send_on(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _send_on(self, connection: _Connection, exchange: Exchange) -> None:
        self._carrying[exchange] = connection
        connection.send(exchange, self._message(exchange))

    def _message(self, exchange: Exchange) -> bytes:
        body = exchange.body
        return b"%btraceparent: %b\r\nContent-Length: %d\r\n\r\n%b" % (
            self._head,
            exchange.traceparent.encode(),
            len(body),
            body,
        )

    def _take_idle(self) -> _Connection | None:
        """Return the connection that was used last: the others may grow old and close."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    def _connect(self, exchange: Exchange) -> None:
        self._connecting[exchange] = self._loop.create_task(self._open_for(exchange))

    async def _open_for(self, exchange: Exchange) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: _Connection(self),
                self._host,
                self._port,
                ssl=self._target.tls,
                server_hostname=self._host if self._target.tls else None,
            )
            self._send_on(connection, exchange)
        except OSError as error:
            exchange.fail(connection_error_class(error), f"{type(error).__name__}: {error}")
            self.over(exchange)
        finally:
            del self._connecting[exchange]

    def _give_up(self, exchange: Exchange, error_class: str, text: str) -> None:
        exchange.fail(error_class, text)
        connection = self._carrying.get(exchange)
        self.over(exchange)
        if connection is not None:
            connection.abort()
        elif exchange in self._connecting:
            self._connecting[exchange].cancel()
        else:
            self._waiting.remove(exchange)


class _Connection(asyncio.Protocol):
    """One connection: idle, or with one request under way."""

    def __init__(self, pool: RawTransport) -> None:
        self._pool = pool
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._idle_since_ns = 0
        self._replica = ""
        self._begun = False
        self._framed = False
        self.exchange: Exchange | None = None

    def send(self, exchange: Exchange, message: bytes) -> None:
        """Send a request on this idle connection."""
        self.exchange = exchange
        self._begun = False
        self._transport.write(message)

    def usable(self) -> bool:
        """Tell whether an idle connection may carry another request."""
        age_ns = time.monotonic_ns() - self._idle_since_ns
        return age_ns < KEEPALIVE_NS and not self._transport.is_closing()

    def abort(self) -> None:
        """Close without more ado."""
        self.exchange = None
        self._transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports behave like asyncio's without being derived from them.
        self._transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail("malformed", f"not HTTP/1.1 ({error}): {data[:200]!r}")
            self._transport.abort()
        if self.exchange is not None and self.exchange.over:
            # A bad answer: what may still come of it must not meet the next request.
            self._settle()
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if isinstance(error, OSError):
            self._fail("reset", f"{type(error).__name__}: {error}")
        elif not self._begun:
            self._fail("reset", "the connection was closed before the answer")
        elif self._framed:
            self._fail("truncated", "the connection was closed inside the answer")
        elif self.exchange is not None:
            # Without length and without chunks the connection's end is the answer's.
            self.exchange.end()
            self._settle()
        self._pool.lost(self)

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._replica = ""
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == REPLICA:
            self._replica = value.decode("latin-1")
        elif name in FRAMING:
            self._framed = True
        elif name == b"content-encoding" and value.lower() != b"identity":
            text = f"the answer is compressed ({value!r}), which was not asked for"
            self._fail("malformed", text)
            self._transport.abort()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self.exchange is not None:
            self._begun = True
            self.exchange.head(status, self._replica)

    def on_body(self, data: bytes) -> None:
        if self.exchange is not None and not self.exchange.over:
            self.exchange.feed(data)

    def on_message_complete(self) -> None:
        if not self._begun or self.exchange is None:
            return
        keep = self._parser.should_keep_alive() and not self.exchange.over
        self._begun = False
        self.exchange.end()
        self._settle()
        self._idle_since_ns = time.monotonic_ns()
        if keep:
            self._pool.free(self)
        else:
            self._transport.close()

    def _fail(self, error_class: str, text: str) -> None:
        if self.exchange is not None:
            self.exchange.fail(error_class, text)
            self._settle()

    def _settle(self) -> None:
        """Let go of a request that is over."""
        if self.exchange is not None:
            self._pool.over(self.exchange)
            self.exchange = None


def _lines(fields: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())
