from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llm_benchmark.client import make_target
from llm_benchmark.providers import make_provider
from llm_benchmark.providers.base import Ask, Message
from llm_benchmark.worker_process import make_transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from llm_benchmark.records import Record
    from llm_benchmark.stub_server import Stub

    Send = Callable[..., Awaitable[Record]]
    Exchanged = Callable[..., Awaitable[None]]
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


async def test_connections_are_used_again(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub()
    await ask(stub.url, times=5)
    assert len({exchange.peer for exchange in stub.exchanges}) == 1
    assert len(stub.exchanges) == 5


async def test_a_connection_is_used_again_although_the_body_ends_after_the_end_mark(
    start_stub: StartStub, ask: Send
) -> None:
    stub = await start_stub(pause_ns=30 * MS)
    record = await ask(stub.url, model="stub:late-end", times=3)
    assert record.error == ""
    assert len({exchange.peer for exchange in stub.exchanges}) == 1


async def test_a_connection_is_used_again_after_a_refusal(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub()
    for mode in ("stub:http-503", "stub:empty", "stub:no-usage", "stub:truncated"):
        await ask(stub.url, model=mode, times=2)
    peers = [exchange.peer for exchange in stub.exchanges]
    assert len(set(peers)) == len(peers) / 2


async def test_an_event_of_two_tokens_is_one_gap_and_two_tokens(
    start_stub: StartStub, ask: Send
) -> None:
    stub = await start_stub()
    record = await ask(stub.url, model="stub:pairs", output_tokens=8)
    assert record.output_tokens == 8
    assert len(record.itl_ns) == 3


async def test_the_finish_event_is_no_gap(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub(itl_s=0.02)
    record = await ask(stub.url, output_tokens=5)
    assert len(record.itl_ns) == 4
    assert min(record.itl_ns) > 10 * MS


async def test_a_pause_is_a_gap(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub(pause_ns=200 * MS)
    record = await ask(stub.url, model="stub:pause", output_tokens=4)
    assert record.error == ""
    assert max(record.itl_ns) == record.itl_ns[0] > 150 * MS


async def test_a_request_that_is_taken_in_slowly_counts_from_its_sending(
    start_stub: StartStub, ask: Send
) -> None:
    stub = await start_stub(mode="slow-read", pause_ns=200 * MS)
    # Larger than what the sockets' buffers hold.
    record = await ask(stub.url, prompt="word " * 2_000_000, timeout_s=20)
    assert record.error == ""
    assert (record.first_token_ns or 0) - (record.sent_ns or 0) > 150 * MS


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


async def test_broken_framing_is_malformed_to_raw_and_never_ends_to_aiohttp(
    start_stub: StartStub, ask: Send, transport: str
) -> None:
    stub = await start_stub()
    record = await ask(stub.url, model="stub:broken-chunk", timeout_s=0.3)
    assert record.error_class == {"raw": "malformed", "aiohttp": "timeout"}[transport]


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
        lines = head.lower().split(b"\r\n")
        length = next(line for line in lines if line.startswith(b"content-length"))
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
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nno", "malformed"),
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "self-signed.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stub")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption())
    )
    return path


async def test_a_certificate_is_checked_unless_told_otherwise(
    start_stub: StartStub, ask: Send, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stub = await start_stub(tls=context)
    assert stub.url.startswith("https://")
    assert (await ask(stub.url)).error_class == "tls"
    assert (await ask(stub.url, ca=certificate)).error == ""
    assert (await ask(stub.url, verify=False)).error == ""


async def test_plain_http_at_a_tls_port_fails_with_a_class(
    start_stub: StartStub, ask: Send, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stub = await start_stub(tls=context)
    record = await ask(stub.url.replace("https", "http"))
    assert record.error_class == "reset"


async def test_no_more_connections_are_opened_than_allowed(
    start_stub: StartStub, make_record: Callable[..., Record], transport: str, exchanged: Exchanged
) -> None:
    stub = await start_stub(ttft_s=0.02)
    provider = make_provider("vllm", "chat")
    path = provider.path("stub", stream=True)
    target = replace(make_target(stub.url, path, {}, 10**10, None), limit=2)
    sender = make_transport(transport, target)
    body = provider.body(
        Ask(model="stub", messages=(Message("user", "a"),), output_tokens=2, stream=True)
    )
    records = [make_record() for _ in range(8)]
    await asyncio.gather(*(exchanged(sender, one, body, "a", provider, None) for one in records))
    await sender.close()
    assert {record.error_class for record in records} == {""}
    assert len({exchange.peer for exchange in stub.exchanges}) == 2


async def test_cancelled_requests_are_over_at_once(
    start_stub: StartStub, make_record: Callable[..., Record], transport: str, exchanged: Exchanged
) -> None:
    stub = await start_stub(mode="stall")
    provider = make_provider("vllm", "chat")
    target = make_target(stub.url, provider.path("stub", stream=True), {}, 10**11, None)
    sender = make_transport(transport, replace(target, limit=2))
    body = provider.body(
        Ask(model="stub", messages=(Message("user", "a"),), output_tokens=2, stream=True)
    )
    records = [make_record() for _ in range(4)]
    tasks = [
        asyncio.create_task(exchanged(sender, one, body, "a", provider, None)) for one in records
    ]
    await asyncio.sleep(0.05)
    sender.cancel()
    await asyncio.gather(*tasks)
    await sender.close()
    assert {record.error_class for record in records} == {"cancelled"}
