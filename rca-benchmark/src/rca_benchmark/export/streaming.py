"""Large answers, taken in pieces while they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from rca_benchmark.export.requesting import (
    PassingError,
    RefusedError,
    brief,
    check_status,
    given_up,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rca_benchmark.export.endpoint import Endpoint


async def stream(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    path: str,
    form: Mapping[str, str],
    new_reader: Callable[[], Callable[[bytes], None]],
    finish: Callable[[], None],
    *,
    asked: str,
) -> None:
    """Post a form and hand the answer on in pieces, from its beginning on at each attempt.

    Args:
        session: with the endpoint's credentials.
        endpoint: whom to ask.
        path: what to ask, below the endpoint's address.
        form: fields of the form.
        new_reader: called before each attempt; gives what takes the pieces.
        finish: called after the last piece; may raise PassingError, as may the reader.
        asked: the query, for the message.

    Raises:
        ExportError: no usable answer came.
    """
    for number in range(endpoint.attempts):
        try:
            async with session.post(endpoint.url + path, data=form) as response:
                if response.status >= 400:
                    check_status(response.status, await response.read())
                take = new_reader()
                async for piece in response.content.iter_any():
                    take(piece)
                finish()
                return
        except RefusedError as error:
            raise refused(endpoint, asked, error) from error
        except (PassingError, aiohttp.ClientError, TimeoutError) as error:
            if number + 1 == endpoint.attempts:
                text = error if isinstance(error, PassingError) else f"no answer: {brief(error)}"
                raise given_up(endpoint, asked, PassingError(str(text))) from error
            await asyncio.sleep(endpoint.backoff_s * 2**number)


def new_async_session(endpoint: Endpoint, connections: int) -> aiohttp.ClientSession:
    """A session of aiohttp with the endpoint's credentials, certificates and time limit."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=endpoint.tls()),
        # A server that compresses costs more time than the bytes do on a local network.
        headers={"Accept-Encoding": "identity"} | dict(endpoint.headers),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=endpoint.timeout_s),
        trust_env=not endpoint.is_loopback,
        read_bufsize=2**18,
    )
