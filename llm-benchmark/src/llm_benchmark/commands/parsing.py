"""How options are read from text, and the parsers that read them."""

from __future__ import annotations

import argparse
import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from llm_benchmark.clock import MILLISECOND_NS
from llm_benchmark.distributions import parse
from llm_benchmark.units import duration

if TYPE_CHECKING:
    from llm_benchmark.distributions import Distribution

# Of int64: in the year 2262.
LATEST_NS = 2**63 - 1
SLOS = ("ttft", "itl", "tpot", "e2e")


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_command(commands: Commands, name: str, summary: str, text: str, example: str) -> Parser:
    """Add a sub-command and return its parser."""
    return commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def tokens(text: str) -> Distribution:
    """Read a number of tokens, or how it is distributed."""
    return parse(text)


def rate(text: str) -> float:
    """Read a rate in requests per second."""
    value = _number(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a rate; give requests per second above zero, such as 10 or 0.5"
        )
    return value


def factor(text: str) -> float:
    """Read a number above zero."""
    value = _number(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def share(text: str) -> float:
    """Read a share, from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; give 0 to 1, such as 0.05")
    return value


def count(text: str) -> int:
    """Read a whole number above zero."""
    if not re.fullmatch(r"\d{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def count_or_zero(text: str) -> int:
    """Read a whole number, zero or above."""
    return 0 if text == "0" else count(text)


def port(text: str) -> int:
    """Read a TCP port; 0 stands for a free one."""
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give 0 to 65535")
    return int(text)


def seed(text: str) -> int:
    """Read a seed: a whole number, zero or above."""
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a seed; give a whole number, zero or above"
        )
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """Read which part of a schedule is meant: ``0/4`` is the first of four."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shard; give INDEX/NUMBER, 0/4 to 3/4 for four machines"
        )
    return int(match[1]), int(match[2])


def instant(text: str) -> int:
    """Read an instant in ISO 8601; without a zone it is UTC. Returns UTC epoch ns."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an instant; give ISO 8601, such as 2030-01-31T12:00:00Z"
        ) from error
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    epoch_ns = round(value.timestamp() * 1e6) * 1000
    if epoch_ns > LATEST_NS:
        raise argparse.ArgumentTypeError("is later than can be told in ns; give an earlier instant")
    return epoch_ns


def objectives(text: str) -> dict[str, float]:
    """Read objectives such as ``ttft=200ms,itl=50ms``; returns ms by name."""
    slo = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if name not in SLOS or name in slo or not equals:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no objective; give each of {', '.join(SLOS)} once at most, as in"
                " ttft=200ms,itl=50ms"
            )
        slo[name] = duration(value) / MILLISECOND_NS
    return slo


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("""is no JSON object; give one such as '{"top_p": 0.9}'""")
    return value


def base_url(text: str) -> str:
    """Read the base URL of a server; return it without a closing slash."""
    try:
        parts = urlsplit(text)
        problem = _url_problem(parts.scheme, parts.hostname, parts.path)
        if parts.port == 0:
            problem = "port 0 cannot be reached"
        if parts.username is not None or parts.password is not None:
            problem = "it holds a user name; give the key in the environment as OPENAI_API_KEY"
        if parts.query or parts.fragment:
            problem = "give it without '?' and '#'"
    except ValueError as error:
        problem = str(error)
    if problem:
        raise argparse.ArgumentTypeError(f"not usable as base URL: {problem}")
    return text.rstrip("/")


def _url_problem(scheme: str, host: str | None, path: str) -> str:
    if scheme not in ("http", "https") or not host:
        return "give scheme, host and port, such as http://127.0.0.1:8000"
    if path.rstrip("/").endswith(("/v1", "/completions")):
        return "give it without /v1 and what follows: the provider appends its path"
    return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
