"""One answer of the stub: generators that write what is due and say when they want to go on."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from llm_benchmark.stub_server.dialects import ERROR, frame, token_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from llm_benchmark.stub_server.dialects import Ask, Dialect

SPLIT_BYTES = 7
MALFORMED = b'data: {"choices": oops}\n\n'
# Chunks begin with their size in hexadecimal digits: this is none.
BROKEN_CHUNK = b"oops\r\n"
NEVER_NS = 2**62


@dataclass(slots=True)
class Exchange:
    """One request as the stub saw it. Instants are ns of ``time.monotonic_ns``.

    Attributes:
        path: Where it was sent.
        headers: Its headers, names in lower case.
        peer: The client's address and port: the same for requests on one connection.
        body: The request's JSON.
        arrived_ns: When its body had been read.
        token_ns: When each token was handed to the socket.
    """

    path: str
    headers: dict[str, str]
    peer: tuple[str, int]
    body: dict[str, Any]
    arrived_ns: int
    token_ns: array[int] = field(default_factory=lambda: array("q"))

    @property
    def traceparent(self) -> str:
        """The request's W3C trace context."""
        return self.headers.get("traceparent", "")


class Wire(Protocol):
    """Where an answer goes."""

    def head(self, status: int, kind: str, length: int | None = None) -> None:
        """Write status and headers; without a length the body comes in chunks."""

    def chunk(self, data: bytes) -> None:
        """Write a piece of the body."""

    def raw(self, data: bytes) -> None:
        """Write bytes outside of any framing."""

    def end(self) -> None:
        """End the body."""

    def close(self) -> None:
        """Close the connection as it is."""

    def reset(self) -> None:
        """Reset the connection."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one answer will be.

    Attributes:
        mode: How it goes wrong; empty: not at all.
        tokens: How many tokens.
        ttft_ns: Time from the request to the first token.
        gaps_ns: Times between tokens, one fewer than tokens.
        pause_ns: Length of the mode's pause.
    """

    mode: str
    tokens: int
    ttft_ns: int
    gaps_ns: Sequence[int]
    pause_ns: int


def streamed(
    wire: Wire, exchange: Exchange, dialect: Dialect, ask: Ask, plan: Plan
) -> Generator[int]:
    """Write an answer token by token; yields the instants (monotonic ns) to go on at."""
    wire.head(200, "text/event-stream")
    write = _in_pieces(wire) if plan.mode == "split" else wire.chunk
    opening = dialect.opening()
    if opening:
        write(opening)
    step = 2 if plan.mode == "pairs" else 1
    due_ns = exchange.arrived_ns + plan.ttft_ns
    for token in range(0, 0 if plan.mode == "empty" else plan.tokens, step):
        yield due_ns
        count = min(step, plan.tokens - token)
        exchange.token_ns.append(time.monotonic_ns())
        write(token_frame(dialect, token, count))
        if token == 0 and plan.mode:
            if _misbehave(wire, plan.mode):
                return
            if plan.mode == "stall":
                yield NEVER_NS
            if plan.mode == "pause":
                due_ns += plan.pause_ns
        due_ns += sum(plan.gaps_ns[token : token + count])
    usage = None if plan.mode == "no-usage" else (_count(ask.prompt), plan.tokens)
    for event in dialect.closing(ask, _text(plan), usage):
        write(frame(event))
    if dialect.end_mark():
        write(dialect.end_mark())
    if plan.mode == "late-end":
        yield time.monotonic_ns() + plan.pause_ns
    wire.end()


def plain(wire: Wire, exchange: Exchange, dialect: Dialect, ask: Ask, plan: Plan) -> Generator[int]:
    """Write an answer whole: its first half when the first token is due, the rest with the last.

    Yields the instants (monotonic ns) to go on at.
    """
    wire.head(200, "application/json")
    write = _in_pieces(wire) if plan.mode == "split" else wire.chunk
    usage = None if plan.mode == "no-usage" else (_count(ask.prompt), plan.tokens)
    answer = ERROR if plan.mode == "error-event" else dialect.plain(ask, _text(plan), usage)
    body = orjson.dumps(answer)
    due_ns = exchange.arrived_ns + plan.ttft_ns
    yield due_ns
    exchange.token_ns.append(time.monotonic_ns())
    write(body[: len(body) // 2])
    if plan.mode not in ("", "error-event") and _misbehave(wire, plan.mode):
        return
    if plan.mode == "stall":
        yield NEVER_NS
    if plan.mode == "pause":
        due_ns += plan.pause_ns
    yield due_ns + sum(plan.gaps_ns)
    write(body[len(body) // 2 :])
    wire.end()


def _misbehave(wire: Wire, mode: str) -> bool:
    """Do what the mode says; tell whether the answer ends here."""
    match mode:
        case "reset":
            wire.reset()
        case "cut":
            wire.close()
        case "truncated":
            wire.end()
        case "broken-chunk":
            wire.raw(BROKEN_CHUNK)
            wire.close()
        case "error-event":
            wire.chunk(frame(ERROR))
            wire.end()
        case "malformed":
            wire.chunk(MALFORMED)
            wire.end()
        case _:
            return False
    return True


def _text(plan: Plan) -> str:
    words = [] if plan.mode == "empty" else [f"word{number}" for number in range(plan.tokens)]
    return " ".join(words)


def _count(prompt: str) -> int:
    return len(prompt.split())


def _in_pieces(wire: Wire) -> Callable[[bytes], None]:
    """Return a way to write that makes everything as hard to read as the standard allows."""

    def write(data: bytes) -> None:
        if data.startswith(b"data: {"):
            text = orjson.dumps(orjson.loads(data[6:]), option=orjson.OPT_INDENT_2).decode()
            lines = "".join(f"data: {line}\r\n" for line in text.splitlines())
            data = b": a comment\r\n" + lines.encode() + b"\r\n"
        for start in range(0, len(data), SPLIT_BYTES):
            wire.chunk(data[start : start + SPLIT_BYTES])

    return write
