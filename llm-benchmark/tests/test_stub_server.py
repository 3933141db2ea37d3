from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import aiohttp

from llm_benchmark.cli import main
from llm_benchmark.stub_server.script import MODES, is_mode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from llm_benchmark.stub_server import Stub

BODY = {"model": "stub", "messages": [{"role": "user", "content": "a b"}], "stream": True}


async def test_a_stream_is_role_tokens_finish_usage_end(
    start_stub: Callable[..., Awaitable[Stub]],
) -> None:
    stub = await start_stub(tokens=2)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stub.url}/v1/chat/completions", json=BODY) as response,
    ):
        text = await response.text()
    *events, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    role, first, second, finish, usage = map(json.loads, events)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["choices"][0]["delta"] == {"content": "word0 "}
    assert second["choices"][0]["delta"] == {"content": "word1 "}
    assert finish["choices"][0]["finish_reason"] == "length"
    assert usage["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert end == "[DONE]"


async def test_tokens_are_never_sent_before_they_are_due(
    start_stub: Callable[..., Awaitable[Stub]],
) -> None:
    stub = await start_stub(tokens=4, ttft_s=0.05, itl_s=0.01)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stub.url}/v1/chat/completions", json=BODY) as response,
    ):
        await response.read()
    exchange = stub.exchanges[0]
    for token, sent_ns in enumerate(exchange.token_ns):
        assert sent_ns - exchange.arrived_ns >= (50 + 10 * token) * 1_000_000


def test_modes_are_known_by_name() -> None:
    assert all(is_mode(mode) for mode in MODES if mode != "http-STATUS")
    assert is_mode("http-503")
    assert not any(is_mode(text) for text in ("", "http-STATUS", "http-200", "http-5030", "other"))


def test_a_port_in_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert main(["stub-server", "--port", port]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "address already in use" in line
    assert port in line
