"""The stub server, in this process and in one of its own; requests and records made to measure."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_benchmark.client import make_target, tls_context
from llm_benchmark.clock import Clock
from llm_benchmark.commands.load import parse_load
from llm_benchmark.distributions import constant
from llm_benchmark.exchange import Exchange
from llm_benchmark.options import RunOptions
from llm_benchmark.providers import make_provider
from llm_benchmark.providers.base import Ask, Message
from llm_benchmark.records import Record
from llm_benchmark.stub_server import Script, Stub, start
from llm_benchmark.worker_process import make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

COMMAND = Path(sys.executable).with_name("llm-benchmark")


@pytest.fixture(params=["aiohttp", "raw"])
def transport(request: pytest.FixtureRequest) -> str:
    """Name of a transport: what uses it is tested with each."""
    return str(request.param)


@pytest.fixture
async def start_stub() -> AsyncIterator[Callable[..., Awaitable[Stub]]]:
    stubs: list[Stub] = []

    async def begin(*, ttft_s: float = 0.0, itl_s: float = 0.0, **others: Any) -> Stub:
        tls = others.pop("tls", None)
        if others.get("tokens") is not None:
            others["tokens"] = constant(others["tokens"])
        times = {"ttft_ns": constant(round(ttft_s * 1e9)), "itl_ns": constant(round(itl_s * 1e9))}
        stubs.append(await start(Script(**times | others), tls=tls))
        return stubs[-1]

    yield begin
    for stub in stubs:
        await stub.close()


@pytest.fixture(scope="session")
def stub_url() -> Iterator[str]:
    arguments = [COMMAND, "stub-server", "--port", "0", "--ttft", "5ms", "--itl", "1ms"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.removeprefix("listening on ").strip()
        process.terminate()


@pytest.fixture
def make_options(tmp_path: Path) -> Callable[..., RunOptions]:
    """Return options; ``load`` holds the load's as on the command line."""

    def make(load: str = "--rate 100 --duration 200ms", **changes: Any) -> RunOptions:
        content = "" if "--prompt" in load or "--dataset" in load else " --prompt-tokens 8"
        if "--output-tokens" not in load:
            content += " --output-tokens 4"
        values: dict[str, Any] = {
            "url": "http://127.0.0.1:9",
            "provider": "vllm",
            "api": "chat",
            "model": "stub",
            "stream": True,
            "body": {},
            "load": parse_load((load + content).split()),
            "schedule": None,
            "workers": 1,
            "shard": (0, 1),
            "start_at": None,
            "transport": "aiohttp",
            "timeout": 5_000_000_000,
            "grace": 0,
            "warmup": 0,
            "cooldown": 0,
            "slo": {},
            "metrics_port": None,
            "ca": None,
            "insecure": False,
            "spans": None,
            "out": tmp_path / "out",
        }
        return RunOptions(**values | changes)

    return make


@pytest.fixture
def make_record() -> Callable[..., Record]:
    def make(**values: Any) -> Record:
        known = {
            "id": 0,
            "provider": "vllm",
            "model": "stub",
            "stream": True,
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "intended_ns": 0,
        }
        return Record(**known | values)

    return make


@pytest.fixture
def ask(make_record: Callable[..., Record], transport: str) -> Callable[..., Awaitable[Record]]:
    """Send requests, one after the other, over a transport of their own; return the last record."""

    async def send(
        url: str,
        *,
        provider: str = "vllm",
        api: str = "chat",
        model: str = "stub",
        stream: bool = True,
        prompt: str = "one two three",
        output_tokens: int = 4,
        timeout_s: float = 5.0,
        api_key: str | None = None,
        ca: Path | None = None,
        verify: bool = True,
        times: int = 1,
    ) -> Record:
        spoken = make_provider(provider, api)
        target = make_target(
            url,
            spoken.path(model, stream=stream),
            spoken.headers(api_key),
            round(timeout_s * 1e9),
            tls_context(ca, verify=verify),
        )
        sender = make_transport(transport, target)
        request = Ask(
            model=model,
            messages=(Message("user", prompt),),
            output_tokens=output_tokens,
            stream=stream,
        )
        for _ in range(times):
            record = make_record(
                provider=provider,
                model=model,
                stream=stream,
                prompt_tokens_asked=len(prompt.split()),
            )
            await exchange_over(sender, record, spoken.body(request), prompt, spoken, api_key)
        await sender.close()
        return record

    return send


async def exchange_over(
    sender: Any, record: Record, body: bytes, prompt: str, provider: Any, secret: str | None
) -> None:
    """Send one request and wait until it is over."""
    over = asyncio.Event()
    exchange = Exchange(
        record,
        body,
        prompt,
        provider=provider,
        count=lambda text: len(text.split()),
        clock=Clock.start(),
        on_end=lambda _exchange: over.set(),
        secret=secret,
    )
    sender.send(exchange)
    await over.wait()


@pytest.fixture
def exchanged() -> Callable[..., Awaitable[None]]:
    """Send one request over a given transport and wait until it is over."""
    return exchange_over
