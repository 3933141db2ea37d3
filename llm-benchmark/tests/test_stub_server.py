from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pandas as pd

from llm_benchmark.cli import main
from llm_benchmark.distributions import parse
from llm_benchmark.stub_server.script import MODES, is_mode
from llm_benchmark.units import duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from llm_benchmark.stub_server import Stub

COMMAND = Path(sys.executable).with_name("llm-benchmark")
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


async def test_lengths_and_times_are_drawn_from_their_laws(
    start_stub: Callable[..., Awaitable[Stub]],
) -> None:
    stub = await start_stub(
        ttft_ns=parse("uniform:min=5ms,max=15ms", duration, least=0),
        itl_ns=parse("exponential:mean=1ms", duration, least=0),
        tokens=None,
        seed=3,
    )
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            async with session.post(f"{stub.url}/v1/chat/completions", json=BODY) as response:
                await response.read()
    waits = [one.token_ns[0] - one.arrived_ns for one in stub.exchanges]
    assert len({wait // 1_000_000 for wait in waits}) > 4
    assert all(len(one.token_ns) == 32 for one in stub.exchanges)


async def test_a_share_of_the_answers_goes_wrong(
    start_stub: Callable[..., Awaitable[Stub]],
) -> None:
    stub = await start_stub(tokens=1, mode="http-503", share=0.3, seed=1)
    statuses = []
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            async with session.post(f"{stub.url}/v1/chat/completions", json=BODY) as response:
                await response.read()
                statuses.append(response.status)
    assert set(statuses) == {200, 503}
    assert 40 <= statuses.count(503) <= 80


async def test_messages_may_come_in_parts(start_stub: Callable[..., Awaitable[Stub]]) -> None:
    stub = await start_stub(tokens=1)
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b c"}]
    body = BODY | {"messages": [{"role": "user", "content": parts}], "stream": False}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stub.url}/v1/chat/completions", json=body) as response,
    ):
        assert (await response.json())["usage"]["prompt_tokens"] == 3


async def test_what_it_cannot_understand_it_refuses(
    start_stub: Callable[..., Awaitable[Stub]],
) -> None:
    stub = await start_stub()
    async with aiohttp.ClientSession() as session:
        for path, body, status in (
            ("/v1/chat/completions", b"oops", 400),
            ("/v1/chat/completions", b"{}", 400),
            ("/v2/models/stub/infer", b'{"inputs": []}', 400),
            ("/elsewhere", b"{}", 404),
        ):
            async with session.post(stub.url + path, data=body) as response:
                assert response.status == status
        async with session.get(f"{stub.url}/v1/models") as response:
            assert (await response.json())["data"][0]["id"] == "stub"
    assert not stub.exchanges


def test_the_truth_is_written_at_the_end(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    command = [
        COMMAND,
        "stub-server",
        "--port",
        "0",
        "--ttft",
        "1ms",
        "--itl",
        "1ms",
        "--truth",
        truth,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        out = tmp_path / "out"
        arguments = ["run", "--url", url, "--provider", "vllm", "--model", "stub", "--rate", "50"]
        main([*arguments, "--duration", "200ms", "--output-tokens", "3", "--out", str(out)])
        assert not truth.exists()
        process.terminate()
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    traces = {line["traceparent"].split("-")[1] for line in lines}
    assert traces == set(pd.read_parquet(out / "requests.parquet")["trace_id"])
    assert all(len(line["token_ns"]) == 3 for line in lines)


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
