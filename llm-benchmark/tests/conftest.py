"""The stub server, in this process and in one of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from llm_benchmark.client import Client, open_session
from llm_benchmark.clock import Clock
from llm_benchmark.options import RunOptions
from llm_benchmark.providers import PROVIDERS
from llm_benchmark.providers.base import Ask
from llm_benchmark.records import Record
from llm_benchmark.stub_server import EXCHANGES, Exchange, Script, make_runner

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

COMMAND = Path(sys.executable).with_name("llm-benchmark")


@dataclass
class Stub:
    url: str
    exchanges: deque[Exchange]


@pytest.fixture
async def start_stub() -> AsyncIterator[Callable[..., Awaitable[Stub]]]:
    runners: list[web.AppRunner] = []

    async def start(**script: Any) -> Stub:
        runner = make_runner(Script(**{"ttft_s": 0.0, "itl_s": 0.0} | script))
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        app = runner.app
        return Stub(f"http://127.0.0.1:{runner.addresses[0][1]}", app[EXCHANGES])

    yield start
    for runner in runners:
        await runner.cleanup()


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
    def make(**changes: Any) -> RunOptions:
        values: dict[str, Any] = {
            "url": "http://127.0.0.1:9",
            "provider": "vllm",
            "model": "stub",
            "arrivals": "constant",
            "rate": 100.0,
            "duration_ns": 200_000_000,
            "prompt": None,
            "prompt_tokens": 8,
            "output_tokens": 4,
            "stream": True,
            "seed": 0,
            "timeout_ns": 5_000_000_000,
            "grace_ns": 0,
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
def ask(make_record: Callable[..., Record]) -> Callable[..., Awaitable[Record]]:
    """Send one request with a client of its own and return its record."""

    async def send(
        url: str,
        *,
        provider: str = "vllm",
        model: str = "stub",
        stream: bool = True,
        prompt: str = "one two three",
        output_tokens: int = 4,
        timeout_s: float = 5.0,
        api_key: str | None = None,
    ) -> Record:
        record = make_record(provider=provider, model=model, stream=stream)
        request = Ask(model=model, prompt=prompt, output_tokens=output_tokens, stream=stream)
        async with open_session() as session:
            client = Client(
                session,
                base_url=url,
                provider=PROVIDERS[provider],
                api_key=api_key,
                timeout_ns=round(timeout_s * 1e9),
                clock=Clock.start(),
            )
            await client.send(record, prompt, PROVIDERS[provider].body(request))
        return record

    return send
