"""One request over aiohttp: sent, read to its end, timed, and its failure named."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from llm_benchmark import VERSION
from llm_benchmark.clock import SECOND_NS
from llm_benchmark.errors import AnswerError
from llm_benchmark.sse import EventParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llm_benchmark.clock import Clock
    from llm_benchmark.providers.base import Event, Provider, Usage
    from llm_benchmark.records import Record

# Above this many requests in flight the rest would wait in the client: the summary then says that
# the run is not valid. It lies below the number of ports that one address offers (28,232 on Linux).
CONNECTION_LIMIT = 16_384
# Long prompts come back as long events; the library's default holds up the reader.
READ_BUFFER_BYTES = 4 * 1024 * 1024
# Below the 5 s after which uvicorn, and with it vLLM, closes an idle connection: who closes first
# is never surprised in the middle of a request.
KEEPALIVE_S = 4.0
ERROR_TEXT_LIMIT = 500


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session without the limits, retries and headers that would bend a measurement."""
    connector = aiohttp.TCPConnector(limit=CONNECTION_LIMIT, keepalive_timeout=KEEPALIVE_S)
    async with aiohttp.ClientSession(
        connector=connector,
        read_bufsize=READ_BUFFER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        # A compressing proxy would hold tokens back until its block is full.
        headers={"User-Agent": f"llm-benchmark/{VERSION}", "Accept-Encoding": "identity"},
    ) as session:
        yield session


@dataclass(slots=True)
class _Answer:
    """What has been read of one answer so far."""

    record: Record
    text_events: int = 0
    usage: Usage | None = None
    done: bool = False

    def take(self, event: Event, now_ns: int) -> None:
        self.done = event.done
        self.usage = event.usage or self.usage
        if event.text:
            self._take_text(now_ns)

    def _take_text(self, now_ns: int) -> None:
        record = self.record
        self.text_events += 1
        if record.last_token_ns is None:
            record.first_token_ns = now_ns
        else:
            record.itl_ns.append(now_ns - record.last_token_ns)
        record.last_token_ns = now_ns


class Client:
    """Sends requests to one server.

    Args:
        session: From ``open_session``.
        base_url: The server; the provider's path is appended.
        provider: The API to speak.
        api_key: Sent to the server and kept out of every record; None sends none.
        timeout_ns: Time from sending after which a request is given up, ns.
        clock: The run's clock.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        provider: Provider,
        api_key: str | None,
        timeout_ns: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = URL(base_url.rstrip("/") + provider.path)
        self._provider = provider
        self._api_key = api_key
        self._headers = provider.headers(api_key)
        self._timeout_s = timeout_ns / SECOND_NS
        self._clock = clock

    async def send(self, record: Record, prompt: str, body: bytes) -> None:
        """Send one request and complete its record.

        A failure ends up in the record's ``error_class`` and ``error``, never in an exception;
        cancellation does both.

        Args:
            record: A record with everything that is known before sending.
            prompt: The text that the body carries, counted where the server does not count.
            body: The request body.
        """
        answer = _Answer(record)
        record.sent_ns = self._clock.now()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(answer, body)
            _check(answer)
        except asyncio.CancelledError:
            self._fail(record, "cancelled", "the run ended before the answer did")
            raise
        except AnswerError as error:
            self._fail(record, error.error_class, str(error))
        except TimeoutError:
            self._fail(record, "timeout", f"no complete answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            self._fail(record, _error_class(error), f"{type(error).__name__}: {error}")
        finally:
            record.end_ns = self._clock.now()
            _count(answer, prompt)

    async def _exchange(self, answer: _Answer, body: bytes) -> None:
        record = answer.record
        traceparent = f"00-{record.trace_id}-{record.span_id}-01"
        async with self._session.post(
            self._url,
            data=body,
            headers={**self._headers, "traceparent": traceparent},
            allow_redirects=False,
        ) as response:
            record.first_byte_ns = self._clock.now()
            record.status = response.status
            record.replica = response.headers.get("x-replica", "")
            if response.status != 200:
                text = await response.text(errors="replace")
                raise AnswerError(f"http_{response.status}", text or str(response.reason))
            if record.stream:
                await self._read_stream(response.content, answer)
            else:
                content = await response.read()
                event = self._provider.read_answer(content)
                answer.usage = event.usage
                answer.text_events = len(event.text.split())
                answer.done = True

    async def _read_stream(self, content: aiohttp.StreamReader, answer: _Answer) -> None:
        """Read on after the last event too: only a body read to its end frees the connection."""
        parser = EventParser()
        async for chunk in content.iter_any():
            now_ns = self._clock.now()
            for data in parser.feed(chunk):
                if not answer.done:
                    answer.take(self._provider.read_event(data), now_ns)
        rest = parser.rest()
        if rest and not answer.done:
            answer.done = _ends_stream(self._provider, rest)

    def _fail(self, record: Record, error_class: str, text: str) -> None:
        if self._api_key:
            text = text.replace(self._api_key, "***")
        record.error_class = error_class
        record.error = text[:ERROR_TEXT_LIMIT]


def _ends_stream(provider: Provider, data: bytes) -> bool:
    """Tell whether a last event without its blank line is the end mark, and not a torn event."""
    try:
        return provider.read_event(data).done
    except AnswerError:
        return False


def _check(answer: _Answer) -> None:
    if not answer.text_events:
        raise AnswerError("empty", "the answer has no text")
    if not answer.done:
        raise AnswerError("truncated", "the stream ended without its end mark")
    if answer.usage is None:
        raise AnswerError("no_usage", "the answer does not tell its tokens")


def _count(answer: _Answer, prompt: str) -> None:
    record = answer.record
    if answer.usage is not None:
        record.prompt_tokens = answer.usage.prompt_tokens
        record.output_tokens = answer.usage.output_tokens
        record.tokens_from = "usage"
    elif answer.text_events:
        record.prompt_tokens = len(prompt.split())
        record.output_tokens = answer.text_events
        record.tokens_from = "counted"


def _error_class(error: aiohttp.ClientError | OSError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connect"
    if isinstance(error, aiohttp.ClientPayloadError):
        # The library keeps the cause of a torn body in its text only.
        return "reset" if "ConnectionResetError" in str(error) else "truncated"
    if isinstance(error, aiohttp.ClientResponseError):
        return "malformed"
    return "reset"
