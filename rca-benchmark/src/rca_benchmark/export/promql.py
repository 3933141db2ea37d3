"""Small questions to Prometheus, through prometheus-api-client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from rca_benchmark.export.requesting import PASSING_STATUS, brief, given_up, new_session, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from rca_benchmark.errors import ExportError
    from rca_benchmark.export.endpoint import Endpoint


def instant_query(
    endpoint: Endpoint, query: str, time_s: int | None = None
) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series at an instant (epoch s; None: now).

    Raises:
        ExportError: no usable answer came.
    """

    def values(server: Any) -> list[tuple[dict[str, str], float]]:
        result = server.custom_query(query, {"time": time_s} if time_s is not None else {})
        return [(dict(row["metric"]), float(row["value"][1])) for row in result]

    answer: list[tuple[dict[str, str], float]] = ask(endpoint, query, values)
    return answer


def ask(endpoint: Endpoint, asked: str, question: Callable[[Any], Any]) -> Any:
    """One question to prometheus-api-client; every way to fail becomes one clear error.

    Args:
        endpoint: where Prometheus answers.
        asked: the question, for the message.
        question: gets the client.

    Raises:
        ExportError: no usable answer came.
    """
    session = new_session(endpoint)
    retry = Retry(
        total=endpoint.attempts - 1,
        backoff_factor=endpoint.backoff_s,
        status_forcelist=PASSING_STATUS,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    try:
        return question(
            PrometheusConnect(
                endpoint.url, session=session, retry=retry, timeout=endpoint.timeout_s
            )
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise given_up(endpoint, asked, error) from error
    except (PrometheusApiClientException, requests.RequestException) as error:
        raise _refused(endpoint, asked, brief(error)) from error
    except (LookupError, TypeError, ValueError) as error:
        raise _refused(endpoint, asked, f"what cannot be used: {error!r}") from error
    finally:
        session.close()


def _refused(endpoint: Endpoint, asked: str, text: str) -> ExportError:
    return refused(endpoint, asked, ValueError(text))
