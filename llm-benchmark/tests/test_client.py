from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from llm_benchmark.client import Client, open_session
from llm_benchmark.clock import Clock
from llm_benchmark.providers import PROVIDERS
from llm_benchmark.providers.base import Ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Stub

    from llm_benchmark.records import Record

    Send = Callable[..., Awaitable[Record]]
    StartStub = Callable[..., Awaitable[Stub]]

MS = 1_000_000


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 33])
async def test_token_counts_are_exact(
    start_stub: StartStub, ask: Send, stream: bool, tokens: int
) -> None:
    stub = await start_stub()
    record = await ask(stub.url, stream=stream, prompt="a b c d e", output_tokens=tokens)
    assert record.error_class == ""
    assert (record.prompt_tokens, record.output_tokens) == (5, tokens)
    assert record.tokens_from == "usage"
    assert len(record.itl_ns) == (tokens - 1 if stream else 0)
    assert (record.status, record.replica) == (200, "stub-0")


async def test_timings_agree_with_the_clock_of_the_stub(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub(ttft_s=0.1, itl_s=0.02)
    record = await ask(stub.url, output_tokens=5)
    truth = stub.exchanges[0]
    assert record.sent_ns is not None
    assert record.first_token_ns is not None
    assert record.last_token_ns is not None
    ttft = record.first_token_ns - record.sent_ns
    true_ttft = truth.token_ns[0] - truth.arrived_ns
    assert true_ttft - MS <= ttft <= true_ttft + 50 * MS
    generating = record.last_token_ns - record.first_token_ns
    assert generating == pytest.approx(truth.token_ns[-1] - truth.token_ns[0], abs=50 * MS)
    assert sum(record.itl_ns) == generating


async def test_instants_follow_each_other(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub(ttft_s=0.05)
    record = await ask(stub.url)
    instants = [
        record.sent_ns,
        record.first_byte_ns,
        record.first_token_ns,
        record.last_token_ns,
        record.end_ns,
    ]
    assert instants == sorted(instant for instant in instants if instant is not None)


async def test_the_first_token_is_not_the_role_event_that_came_before(
    start_stub: StartStub, ask: Send
) -> None:
    stub = await start_stub(ttft_s=0.2)
    record = await ask(stub.url)
    assert record.first_byte_ns is not None
    assert record.first_token_ns is not None
    assert record.first_token_ns - record.first_byte_ns > 100 * MS


async def test_a_plain_answer_has_no_token_instants(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub()
    record = await ask(stub.url, stream=False)
    assert record.first_token_ns is None
    assert record.last_token_ns is None
    assert record.end_ns is not None


async def test_connections_are_used_again(
    start_stub: StartStub, make_record: Callable[..., Record]
) -> None:
    stub = await start_stub()
    body = PROVIDERS["vllm"].body(Ask(model="stub", prompt="a", output_tokens=2, stream=True))
    async with open_session() as session:
        client = Client(
            session,
            base_url=stub.url,
            provider=PROVIDERS["vllm"],
            api_key=None,
            timeout_ns=10**10,
            clock=Clock.start(),
        )
        for _ in range(5):
            await client.send(make_record(), "a", body)
    assert len({exchange.peer for exchange in stub.exchanges}) == 1
    assert len(stub.exchanges) == 5


async def test_the_trace_of_the_record_is_sent(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub()
    record = await ask(stub.url)
    assert stub.exchanges[0].traceparent == f"00-{record.trace_id}-{record.span_id}-01"


async def test_an_answer_in_pieces_with_comments_and_long_events_is_read(
    start_stub: StartStub, ask: Send
) -> None:
    stub = await start_stub()
    record = await ask(stub.url, model="stub:split", output_tokens=6)
    assert record.error == ""
    assert record.output_tokens == 6
    assert len(record.itl_ns) == 5


@pytest.mark.parametrize(
    ("mode", "streamed", "plain"),
    [
        ("http-400", "http_400", "http_400"),
        ("http-503", "http_503", "http_503"),
        ("disconnect", "reset", "reset"),
        ("reset", "reset", "reset"),
        ("cut", "truncated", "truncated"),
        ("truncated", "truncated", "malformed"),
        ("stall", "timeout", "timeout"),
        ("error-event", "error_event", "error_event"),
        ("malformed", "malformed", "malformed"),
        ("empty", "empty", "empty"),
        ("no-usage", "no_usage", "no_usage"),
        ("no-such-mode", "http_404", "http_404"),
    ],
)
async def test_every_failure_has_its_class(
    start_stub: StartStub, ask: Send, mode: str, streamed: str, plain: str
) -> None:
    stub = await start_stub()
    for stream, expected in ((True, streamed), (False, plain)):
        record = await ask(stub.url, model=f"stub:{mode}", stream=stream, timeout_s=0.3)
        assert record.error_class == expected
        assert record.error
        assert record.end_ns is not None


@pytest.mark.parametrize("stream", [True, False])
async def test_without_usage_tokens_are_counted_and_marked(
    start_stub: StartStub, ask: Send, stream: bool
) -> None:
    stub = await start_stub()
    record = await ask(stub.url, model="stub:no-usage", stream=stream, output_tokens=7)
    assert record.tokens_from == "counted"
    assert (record.prompt_tokens, record.output_tokens) == (3, 7)


async def test_tokens_before_a_failure_stay_in_the_record(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub()
    record = await ask(stub.url, model="stub:truncated")
    assert record.first_token_ns is not None
    assert (record.output_tokens, record.tokens_from) == (1, "counted")


async def test_an_unreachable_server_is_a_connect_error(ask: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    record = await ask(f"http://127.0.0.1:{port}")
    assert record.error_class == "connect"
    assert record.status is None


async def _answer_with(answer: bytes, ask: Send, **request: object) -> Record:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await ask(f"http://127.0.0.1:{port}", **request)


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
TOKEN = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\n'


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (b"this is not HTTP\r\n\r\n", "malformed"),
        (b"", "reset"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "http_302"),
        (HEAD, "empty"),
        (HEAD + b'{"not": "a stream"}', "empty"),
        (HEAD + TOKEN + USAGE + b"data: [DONE]", ""),
        (HEAD + TOKEN + USAGE + b"data: [DONE]\n\nafter the end\n\n", ""),
        (HEAD + TOKEN + USAGE + b'data: {"cho', "truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nno", "truncated"),
    ],
)
async def test_odd_answers_are_classified(ask: Send, answer: bytes, error_class: str) -> None:
    assert (await _answer_with(answer, ask)).error_class == error_class


async def test_a_key_in_an_error_does_not_reach_the_record(ask: Send) -> None:
    answer = b"HTTP/1.1 401 No\r\nContent-Length: 22\r\n\r\nwrong key: hush-hush-42"[:-1]
    record = await _answer_with(answer, ask, provider="openai", api_key="hush-hush-4")
    assert record.error_class == "http_401"
    assert record.error == "wrong key: ***"


async def test_a_long_error_is_cut(ask: Send) -> None:
    text = b"x" * 100_000
    answer = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
    assert len((await _answer_with(answer, ask)).error) == 500
