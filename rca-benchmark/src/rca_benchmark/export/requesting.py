"""Requests to back ends: bounded in time and number, and one clear error when they fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import orjson
import requests
import urllib3

from rca_benchmark.errors import ExportError

if TYPE_CHECKING:
    from rca_benchmark.export.endpoint import Endpoint

# What may pass by itself. Everything else from 400 on is an answer, and asking again is no use.
PASSING_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class PassingError(Exception):
    """A failure that another attempt may not meet."""


def new_session(endpoint: Endpoint) -> requests.Session:
    """A session of requests with the endpoint's credentials and certificates."""
    session = requests.Session()
    session.headers.update(endpoint.headers)
    session.verify = endpoint.verify
    if endpoint.verify is False:  # as was asked for; no need to say so at every request
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    session.cert = endpoint.client_certificate
    session.trust_env = not endpoint.is_loopback
    return session


def request_json(
    session: requests.Session,
    endpoint: Endpoint,
    method: str,
    path: str,
    *,
    asked: str,
    **arguments: Any,
) -> Any:
    """One answer, parsed as JSON, after as many attempts as the endpoint allows.

    Args:
        session: from ``new_session``.
        endpoint: whom to ask.
        method: GET or POST.
        path: what to ask, below the endpoint's address.
        asked: the query, for the message.
        arguments: as for ``requests.Session.request``: params, data, json, headers.

    Raises:
        ExportError: no usable answer came.
    """

    def attempt() -> Any:
        try:
            response = session.request(
                method, endpoint.url + path, timeout=endpoint.timeout_s, **arguments
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise PassingError(f"no answer: {brief(error)}") from error
        except requests.RequestException as error:
            raise PassingError(f"a broken answer: {brief(error)}") from error
        check_status(response.status_code, response.content)
        return parse_json(response.content)

    for number in range(endpoint.attempts):
        try:
            return attempt()
        except PassingError as error:
            if number + 1 == endpoint.attempts:
                raise given_up(endpoint, asked, error) from error
            time.sleep(endpoint.backoff_s * 2**number)
        except RefusedError as error:
            raise refused(endpoint, asked, error) from error
    raise AssertionError("an endpoint allows at least one attempt")


class RefusedError(Exception):
    """An answer that says no."""


def check_status(status: int, body: bytes) -> None:
    """Raise PassingError or RefusedError for an answer that is no success."""
    if status < 400:
        return
    text = f"HTTP {status}: {shorten(body.decode('utf-8', 'replace'))}"
    raise PassingError(text) if status in PASSING_STATUS else RefusedError(text)


def parse_json(body: bytes) -> Any:
    """The content of a body; PassingError where it is none (it may have been cut)."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = shorten(body[:1000].decode("utf-8", "replace"))
        raise PassingError(f"malformed JSON ({error}): {text}") from error


def given_up(endpoint: Endpoint, asked: str, error: Exception) -> ExportError:
    """The error after the last attempt."""
    return ExportError(
        f"{endpoint.name} at {endpoint.url}: query {asked!r} failed {endpoint.attempts} times, "
        f"at last with {error}; is it running?"
    )


def refused(endpoint: Endpoint, asked: str, error: Exception) -> ExportError:
    """The error for a query that was answered by a refusal."""
    return ExportError(
        f"{endpoint.name} at {endpoint.url}: query {asked!r} was answered by {error}"
    )


def brief(error: Exception) -> str:
    """The error on one line, short enough to read."""
    return shorten(str(error) or type(error).__name__)


def shorten(text: str) -> str:
    """At most 300 characters of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
