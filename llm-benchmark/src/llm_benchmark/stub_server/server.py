"""The stub as a server: in the event loop of a test, or as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop

from llm_benchmark.files import replace
from llm_benchmark.stub_server.connection import Connection
from llm_benchmark.stub_server.metronome import Metronome
from llm_benchmark.stub_server.script import Dice

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from llm_benchmark.stub_server.answer import Exchange
    from llm_benchmark.stub_server.script import Script

EXCHANGES_KEPT = 10_000
BACKLOG = 16_384


@dataclass(slots=True)
class State:
    """What the connections of one server share."""

    script: Script
    dice: Dice
    metronome: Metronome
    exchanges: deque[Exchange]
    connections: set[Connection] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Stub:
    """A running server.

    Attributes:
        url: Its base URL.
        exchanges: What it saw, oldest first; the oldest are forgotten.
    """

    url: str
    exchanges: deque[Exchange]
    _state: State
    _server: asyncio.Server

    async def close(self) -> None:
        """Stop serving and drop every connection."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.reset()
        self._state.metronome.close()
        await self._server.wait_closed()


async def start(
    script: Script,
    port: int = 0,
    *,
    tls: ssl.SSLContext | None = None,
    kept: int | None = EXCHANGES_KEPT,
) -> Stub:
    """Serve on 127.0.0.1 in the running event loop.

    Args:
        script: How to answer.
        port: TCP port; 0 takes a free one.
        tls: Speak TLS with this context.
        kept: How many exchanges to remember; None for all.

    Raises:
        OSError: The port cannot be listened on.
    """
    loop = asyncio.get_running_loop()
    state = State(script, Dice(script), Metronome(loop), deque(maxlen=kept))
    try:
        server = await loop.create_server(
            lambda: Connection(state), "127.0.0.1", port, backlog=BACKLOG, ssl=tls
        )
    except OSError:
        state.metronome.close()
        raise
    bound = server.sockets[0].getsockname()[1]
    return Stub(f"http{'s' * bool(tls)}://127.0.0.1:{bound}", state.exchanges, state, server)


def serve(
    script: Script, port: int, *, tls: ssl.SSLContext | None = None, truth: Path | None = None
) -> int:
    """Serve on 127.0.0.1 until SIGINT or SIGTERM.

    Args:
        script: How to answer.
        port: TCP port; 0 takes a free one.
        tls: Speak TLS with this context.
        truth: Where to write, at the end, what was done when: one JSON object per request with
            ``traceparent``, ``arrived_ns`` and ``token_ns``, in ns of the monotonic clock, which
            all processes of a machine share. None keeps no such record.

    Returns:
        The exit status.

    Raises:
        OSError: The port cannot be listened on, or the file cannot be written.
    """
    uvloop.run(_serve(script, port, tls, truth))
    return 0


async def _serve(script: Script, port: int, tls: ssl.SSLContext | None, truth: Path | None) -> None:
    if truth is not None:
        # All that is remembered would be looked through for garbage again and again, for tens of
        # milliseconds each time.
        gc.disable()
    stub = await start(script, port, tls=tls, kept=None if truth else 0)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(f"listening on {stub.url}", flush=True)
    await ended.wait()
    await stub.close()
    if truth is not None:
        write_truth(stub.exchanges, truth)


def write_truth(exchanges: deque[Exchange], path: Path) -> None:
    """Write what the stub did when, as JSON lines.

    Raises:
        OSError: The file cannot be written.
    """
    with replace(path) as partial, partial.open("w", encoding="utf-8") as file:
        for exchange in exchanges:
            line = {
                "traceparent": exchange.traceparent,
                "arrived_ns": exchange.arrived_ns,
                "token_ns": exchange.token_ns.tolist(),
            }
            file.write(json.dumps(line) + "\n")
