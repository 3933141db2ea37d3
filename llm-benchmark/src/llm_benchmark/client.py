"""The seam between load and network: what sends requests, and what every sender keeps to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from llm_benchmark import VERSION
from llm_benchmark.clock import SECOND_NS
from llm_benchmark.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llm_benchmark.exchange import Exchange

# Above this many requests in flight the rest would wait in the client: the summary then says that
# the run is not valid. It lies below the number of ports that one address offers (28,232 on Linux).
CONNECTION_LIMIT = 16_384
# Below the 5 s after which uvicorn, and with it vLLM, closes an idle connection: who closes first
# is never surprised in the middle of a request.
KEEPALIVE_S = 4.0
REPLICA_HEADER = "x-replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go, and what all of them have in common.

    Attributes:
        url: The whole URL.
        headers: Headers of every request.
        timeout_ns: Time from sending after which a request is given up, ns.
        tls: How to speak TLS; None for plain HTTP.
        limit: How many connections may be open at once.
    """

    url: str
    headers: Mapping[str, str]
    timeout_ns: int
    tls: ssl.SSLContext | None
    limit: int = CONNECTION_LIMIT

    @property
    def timeout_text(self) -> str:
        """What a request says that was given up."""
        return f"no complete answer within {self.timeout_ns / SECOND_NS:g} s"


class Transport(Protocol):
    """Sends requests and reads answers. It never repeats a request and follows no redirect."""

    def send(self, exchange: Exchange) -> None:
        """Begin to send a request; its exchange will be over at some time, whatever happens."""

    def cancel(self) -> None:
        """Give up every request in flight, as error class ``cancelled``."""

    async def close(self) -> None:
        """Close all connections."""


def make_target(
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    timeout_ns: int,
    tls: ssl.SSLContext | None,
) -> Target:
    """Return the target at a base URL.

    Args:
        base_url: Scheme, host, port and perhaps the beginning of a path.
        path: The provider's path, appended to it.
        headers: The provider's headers.
        timeout_ns: Time from sending after which a request is given up, ns.
        tls: From ``tls_context``; used only when the URL's scheme is https.
    """
    own = {
        "User-Agent": f"llm-benchmark/{VERSION}",
        # A compressing proxy would hold tokens back until its block is full.
        "Accept-Encoding": "identity",
    }
    secure = urlsplit(base_url).scheme == "https"
    return Target(
        url=base_url.rstrip("/") + path,
        headers={**own, **headers},
        timeout_ns=timeout_ns,
        tls=tls if secure else None,
    )


def tls_context(authorities: Path | None, *, verify: bool) -> ssl.SSLContext:
    """Return how servers are to prove who they are.

    Args:
        authorities: File with the certificates to trust (PEM); None for the system's.
        verify: False trusts any server.

    Raises:
        OptionError: The file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(
            f"--ca {authorities}: cannot be read as certificates ({error}); give a PEM file"
        ) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def connection_error_class(error: BaseException) -> str:
    """Return the error class of a connection that could not be made."""
    return "tls" if isinstance(error, ssl.SSLError) else "connect"
