"""A server with known answers and known timings: the oracle for the generator, and for others.

It speaks streamed and plain chat completions. Each answer's token times are kept as the stub's own
clock saw them, so that a client's figures can be held against them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MODEL = "stub"
REPLICA = "stub-0"
DEFAULT_TOKENS = 32
EXCHANGES_KEPT = 10_000
SPLIT_BYTES = 7
ERROR = {"error": {"message": "as asked", "code": 500}}

MODES = {
    "http-STATUS": "answer with this HTTP status, such as http-503",
    "disconnect": "close the connection before the answer",
    "reset": "reset the connection after the first token",
    "cut": "close the connection after the first token, in the middle of the body",
    "truncated": "end the body properly after the first token, without the end mark",
    "stall": "send nothing more after the first token",
    "error-event": "report an error after the first token",
    "malformed": "send an event that is no JSON after the first token",
    "empty": "answer without any text",
    "no-usage": "do not tell the token counts",
    "split": "a good answer in pieces of seven bytes, with comments and events of several lines",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the stub answers.

    Attributes:
        ttft_s: Time from the request to the first token, s.
        itl_s: Time between tokens, s.
        tokens: Tokens of every answer; None for as many as the request's ``max_tokens``.
        mode: A mode that every answer takes; empty leaves it to the request's model.
    """

    ttft_s: float = 0.02
    itl_s: float = 0.005
    tokens: int | None = None
    mode: str = ""


@dataclass(slots=True)
class Exchange:
    """One request as the stub saw it. Instants are ns of ``time.monotonic_ns``.

    Attributes:
        traceparent: The request's header.
        peer: The client's address and port: the same for requests on one connection.
        body: The request's JSON.
        arrived_ns: When its body had been read.
        token_ns: When each token was handed to the socket.
    """

    traceparent: str
    peer: tuple[str, int]
    body: dict[str, Any]
    arrived_ns: int
    token_ns: list[int] = field(default_factory=list)


SCRIPT = web.AppKey("SCRIPT", Script)
EXCHANGES = web.AppKey("EXCHANGES", deque[Exchange])


def describe_modes() -> str:
    """Return the modes and what they do, a line each."""
    return "\n".join(f"  {name:12} {effect}" for name, effect in MODES.items())


def is_mode(text: str) -> bool:
    """Tell whether the text names a mode."""
    return text in MODES.keys() - {"http-STATUS"} or bool(re.fullmatch(r"http-[45]\d\d", text))


def mode(text: str) -> str:
    """Read a mode for argparse."""
    if not is_mode(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mode; modes are {', '.join(MODES)}")
    return text


def make_app(script: Script) -> web.Application:
    """Return the application; ``app[EXCHANGES]`` holds the latest exchanges, oldest first."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SCRIPT] = script
    app[EXCHANGES] = deque(maxlen=EXCHANGES_KEPT)
    app.router.add_post("/v1/chat/completions", _chat)
    return app


def make_runner(script: Script) -> web.AppRunner:
    """Return a runner whose answers end when their client goes away."""
    return web.AppRunner(
        make_app(script), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
    )


def serve(script: Script, port: int) -> int:
    """Serve on 127.0.0.1 until interrupted.

    Args:
        script: How to answer.
        port: TCP port; 0 takes a free one.

    Returns:
        The exit status.

    Raises:
        OSError: The port cannot be listened on.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(script, port))
    return 0


async def _serve(script: Script, port: int) -> None:
    runner = make_runner(script)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    arrived_ns = time.monotonic_ns()
    chosen = request.app[SCRIPT].mode or str(body["model"]).removeprefix(MODEL).removeprefix(":")
    if chosen and not is_mode(chosen):
        return _refuse(404, f"the model {body['model']} does not exist")
    if chosen.startswith("http-"):
        return _refuse(int(chosen.removeprefix("http-")), "as asked")
    exchange = Exchange(
        traceparent=request.headers.get("traceparent", ""),
        peer=request.transport.get_extra_info("peername") if request.transport else ("", 0),
        body=body,
        arrived_ns=arrived_ns,
    )
    request.app[EXCHANGES].append(exchange)
    answer = _Answer(request, exchange, chosen)
    if chosen == "disconnect":
        answer.close()
    elif body.get("stream"):
        await answer.stream()
    else:
        await answer.plain()
    return answer.response


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status)


class _Answer:
    """One answer on its way out."""

    def __init__(self, request: web.Request, exchange: Exchange, mode: str) -> None:
        self._request = request
        self._exchange = exchange
        self._mode = mode
        self._script = request.app[SCRIPT]
        body = exchange.body
        self._tokens = self._script.tokens or int(body.get("max_tokens", DEFAULT_TOKENS))
        words = sum(len(message["content"].split()) for message in body["messages"])
        self._usage = {
            "prompt_tokens": words,
            "completion_tokens": self._tokens,
            "total_tokens": words + self._tokens,
        }
        kind = "text/event-stream" if body.get("stream") else "application/json"
        self.response = web.StreamResponse(headers={"Content-Type": kind, "x-replica": REPLICA})

    def close(self) -> None:
        """Close the connection as it is."""
        if self._request.transport is not None:
            self._request.transport.close()

    async def stream(self) -> None:
        """Send the answer token by token; the opening event goes out at once, as servers do."""
        await self.response.prepare(self._request)
        await self._send_event(_chunk({"role": "assistant", "content": ""}))
        for token in range(0 if self._mode == "empty" else self._tokens):
            await self._until_due(token)
            self._exchange.token_ns.append(time.monotonic_ns())
            await self._send_event(_chunk({"content": f"word{token} "}))
            if token == 0 and await self._misbehave():
                return
        await self._send_event(_chunk({}, finish="length"))
        if self._mode != "no-usage":
            await self._send_event({"choices": [], "usage": self._usage})
        await self._send(b"data: [DONE]\n\n")

    async def plain(self) -> None:
        """Send the answer whole, its first half when the first token is due."""
        await self.response.prepare(self._request)
        reports_error = self._mode == "error-event"
        body = json.dumps(ERROR if reports_error else self._completion()).encode()
        await self._until_due(0)
        await self._send(body[: len(body) // 2])
        if not reports_error and await self._misbehave():
            return
        await self._until_due(self._tokens - 1)
        await self._send(body[len(body) // 2 :])

    def _completion(self) -> dict[str, Any]:
        words = [] if self._mode == "empty" else [f"word{token}" for token in range(self._tokens)]
        message = {"role": "assistant", "content": " ".join(words)}
        usage = {} if self._mode == "no-usage" else {"usage": self._usage}
        return {
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
            **usage,
        }

    async def _until_due(self, token: int) -> None:
        due_s = self._script.ttft_s + token * self._script.itl_s
        elapsed_s = (time.monotonic_ns() - self._exchange.arrived_ns) / 1e9
        await asyncio.sleep(max(0.0, due_s - elapsed_s))

    async def _misbehave(self) -> bool:
        """Do what the mode says; tell whether the answer ends here."""
        match self._mode:
            case "reset":
                _reset(self._request)
            case "cut":
                self.close()
            case "stall":
                await asyncio.Event().wait()
            case "error-event":
                await self._send_event(ERROR)
            case "malformed":
                await self._send(b'data: {"choices": oops}\n\n')
            case "truncated":
                pass
            case _:
                return False
        return True

    async def _send_event(self, content: dict[str, Any]) -> None:
        if self._mode == "split":
            lines = json.dumps(content, indent=1).splitlines()
            await self._send(b": a comment\r\n")
            await self._send("".join(f"data: {line}\r\n" for line in lines).encode() + b"\r\n")
        else:
            await self._send(f"data: {json.dumps(content)}\n\n".encode())

    async def _send(self, data: bytes) -> None:
        size = SPLIT_BYTES if self._mode == "split" else len(data)
        for start in range(0, len(data), size):
            await self.response.write(data[start : start + size])


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is not None:
        # Lingering for zero seconds makes the close a reset: socket(7), SO_LINGER.
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
