"""Requests over aiohttp: one task each."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from llm_benchmark.client import KEEPALIVE_S, REPLICA_HEADER
from llm_benchmark.clock import SECOND_NS

if TYPE_CHECKING:
    from llm_benchmark.client import Target
    from llm_benchmark.exchange import Exchange

# Long prompts come back as long events; the library's default holds up the reader.
READ_BUFFER_BYTES = 4 * 1024 * 1024
STREAM_BYTES = 1024 * 1024


class AiohttpTransport:
    """A session without the limits, retries and headers that would bend a measurement.

    Made inside a running event loop.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._url = URL(target.url, encoded=True)
        self._timeout_s = target.timeout_ns / SECOND_NS
        self._tasks: set[asyncio.Task[None]] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=target.limit,
                keepalive_timeout=KEEPALIVE_S,
                ssl=True if target.tls is None else target.tls,
            ),
            read_bufsize=READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=target.headers,
        )

    def send(self, exchange: Exchange) -> None:
        """Begin to send a request."""
        exchange.sending()
        task = asyncio.create_task(self._send(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Give up every request in flight."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _send(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(exchange)
            exchange.end()
        except asyncio.CancelledError:
            exchange.fail("cancelled", "the run ended before the answer did")
        except TimeoutError:
            exchange.fail("timeout", self._target.timeout_text)
        except (aiohttp.ClientError, OSError) as error:
            exchange.fail(_error_class(error), f"{type(error).__name__}: {error}")
        finally:
            # Whatever else went wrong is a fault of ours; the event loop reports it.
            exchange.fail("client", "the client failed")

    async def _exchange(self, exchange: Exchange) -> None:
        async with self._session.post(
            self._url,
            # The library warns of large bodies that are not streams.
            data=exchange.body if len(exchange.body) < STREAM_BYTES else BytesIO(exchange.body),
            headers={"traceparent": exchange.traceparent},
            allow_redirects=False,
        ) as response:
            exchange.head(response.status, response.headers.get(REPLICA_HEADER, ""))
            # Read on after the last event too: only a body read to its end frees the connection.
            async for chunk in response.content.iter_any():
                exchange.feed(chunk)
                if exchange.over:
                    return


def _error_class(error: aiohttp.ClientError | OSError) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connect"
    if isinstance(error, aiohttp.ClientPayloadError):
        return _torn_class(str(error))
    if isinstance(error, aiohttp.ClientResponseError):
        return "malformed"
    return "reset"


def _torn_class(text: str) -> str:
    """Return the error class of a body that could not be read; its cause is in the text only."""
    if "ConnectionResetError" in text:
        return "reset"
    incomplete = "not completed" in text and "ContentEncodingError" not in text
    return "truncated" if incomplete and "size" not in text else "malformed"
