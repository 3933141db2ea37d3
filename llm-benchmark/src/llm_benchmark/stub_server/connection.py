"""HTTP/1.1 as the stub's side of it: one connection, one request at a time."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, cast

import httptools
import orjson

from llm_benchmark.stub_server.answer import Exchange, Plan, plain, streamed
from llm_benchmark.stub_server.dialects import dialect_of
from llm_benchmark.stub_server.script import MODEL, is_mode

if TYPE_CHECKING:
    from collections.abc import Generator

    from llm_benchmark.stub_server.dialects import Ask, Dialect
    from llm_benchmark.stub_server.server import State

REPLICA = "stub-0"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
CHUNKED = "Transfer-Encoding: chunked"
MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "stub"}]}


class Connection(asyncio.Protocol):
    """Reads requests from one connection and writes their answers."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._peer = ("", 0)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._answer: Generator[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has connected."""
        # uvloop's transports behave like asyncio's without being derived from them.
        self._transport = cast("asyncio.Transport", transport)
        self._peer = transport.get_extra_info("peername")
        self._state.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """The client is gone."""
        self._state.connections.discard(self)
        if self._answer is not None:
            self._answer.close()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A request, or an answer, begins."""
        self._url = b""
        self._headers = {}
        self._body = []

    def on_url(self, url: bytes) -> None:
        """A piece of the path."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """All headers are there."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._state.script.mode == "slow-read":
            self._transport.pause_reading()
            pause_s = self._state.script.pause_ns / 1e9
            asyncio.get_running_loop().call_later(pause_s, self._read_on)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """It is complete."""
        path = self._url.split(b"?", 1)[0].decode("latin-1")
        if self._parser.get_method() == b"GET":
            self._get(path)
        elif (dialect := dialect_of(path)) is None:
            self._refuse(404, f"nothing is served at {path}")
        else:
            self._post(path, dialect)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # Answering.

    def _get(self, path: str) -> None:
        known = {"/v1/models": MODELS, "/health": {}, "/": {}}
        if path in known:
            self._whole(200, known[path])
        else:
            self._refuse(404, f"nothing is served at {path}")

    def _post(self, path: str, dialect: Dialect) -> None:
        arrived_ns = time.monotonic_ns()
        try:
            body = orjson.loads(b"".join(self._body))
            ask = dialect.read(path, body)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._refuse(400, f"a request that cannot be understood: {error!r}")
            return
        mode = self._state.dice.mode() or ask.model.removeprefix(MODEL).removeprefix(":")
        if mode and not is_mode(mode):
            self._refuse(404, f"the model {ask.model} does not exist")
        elif mode.startswith("http-"):
            self._refuse(int(mode.removeprefix("http-")), "as asked")
        else:
            exchange = Exchange(path, self._headers, self._peer, body, arrived_ns)
            self._state.exchanges.append(exchange)
            self._start(exchange, dialect, ask, mode)

    def _start(self, exchange: Exchange, dialect: Dialect, ask: Ask, mode: str) -> None:
        if mode == "disconnect":
            self.close()
            return
        dice = self._state.dice
        tokens = dice.count(ask.tokens)
        pause_ns = self._state.script.pause_ns
        plan = Plan(mode, tokens, dice.ttft(), dice.gaps(tokens - 1), pause_ns)
        answer = streamed if ask.stream else plain
        self._answer = answer(self, exchange, dialect, ask, plan)
        self._state.metronome.start(self._answer)

    def _refuse(self, status: int, message: str) -> None:
        self._whole(status, {"error": {"message": message, "code": status}})

    def _whole(self, status: int, content: dict[str, Any]) -> None:
        body = orjson.dumps(content)
        self.head(status, "application/json", len(body))
        self._transport.write(body)

    # What an answer writes to.

    def head(self, status: int, kind: str, length: int | None = None) -> None:
        """Write status and headers; without a length the body comes in chunks."""
        framing = CHUNKED if length is None else f"Content-Length: {length}"
        self._transport.write(
            f"HTTP/1.1 {status} {REASONS.get(status, 'As Asked')}\r\nContent-Type: {kind}\r\n"
            f"{framing}\r\nx-replica: {REPLICA}\r\n\r\n".encode()
        )

    def chunk(self, data: bytes) -> None:
        """Write a piece of the body."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def raw(self, data: bytes) -> None:
        """Write bytes outside of any framing."""
        self._transport.write(data)

    def end(self) -> None:
        """End the body."""
        self._transport.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Close the connection as it is."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection."""
        # Lingering for zero seconds makes the close a reset: socket(7), SO_LINGER.
        connection: socket.socket = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
