"""The options of a run, and how they are read from text."""

from __future__ import annotations

import argparse
import math
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_benchmark.clock import SECOND_NS
from llm_benchmark.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

UNITS_NS = {"ms": SECOND_NS // 1000, "s": SECOND_NS, "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS}
# Some 100 bytes of schedule and ids are held for every request.
MAX_REQUESTS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``llm-benchmark run`` was asked to do.

    Attributes:
        url: Base URL of the server; the provider appends its path.
        provider: Name of the API.
        model: The model's name as the server knows it.
        arrivals: Name of the arrival process.
        rate: Requests per second.
        duration_ns: How long requests are sent.
        prompt: Literal text, or ``@`` and a path; None for synthetic prompts.
        prompt_tokens: Words of a synthetic prompt; unused with ``prompt``.
        output_tokens: Tokens to ask for.
        stream: Whether answers come token by token.
        seed: Seed of every random choice.
        timeout_ns: Time after which one request is given up.
        grace_ns: How long an interrupted run waits for outstanding requests.
        spans: Where to write the client's spans; None for nowhere.
        out: Folder of the results.
    """

    url: str
    provider: str
    model: str
    arrivals: str
    rate: float
    duration_ns: int
    prompt: str | None
    prompt_tokens: int
    output_tokens: int
    stream: bool
    seed: int
    timeout_ns: int
    grace_ns: int
    spans: Path | None
    out: Path

    def check(self) -> None:
        """Check what no single option shows.

        Raises:
            OptionError: The run would be too large, or its files cannot be written.
        """
        if self.rate * self.duration_ns / SECOND_NS > MAX_REQUESTS:
            raise OptionError(
                f"--rate, --duration: more than {MAX_REQUESTS:,} requests in one run;"
                " make the rate or the duration smaller"
            )
        _check_folder("--out", self.out)
        if self.spans is not None:
            _check_folder("--spans", self.spans.parent)
            if self.spans.is_dir():
                raise OptionError(f"--spans {self.spans}: is a folder; give the path of a file")

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return asdict(self) | {
            "prompt_tokens": self.prompt_tokens if self.prompt is None else None,
            "out": str(self.out),
            "spans": self.spans and str(self.spans),
        }


def _check_folder(option: str, folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise OptionError(f"{option}: {existing} is not a folder; give another path")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OptionError(f"{option}: {existing} cannot be written to; give another path")


def duration(text: str) -> int:
    """Read a duration such as ``500ms``, ``60s``, ``2m`` or ``1.5h``; return ns, zero or above."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration; give a number and a unit: 500ms, 60s, 2m, 1h"
        )
    return round(float(match[1]) * UNITS_NS[match[2]])


def positive_duration(text: str) -> int:
    """Read a duration above zero; return ns."""
    value = duration(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be above zero")
    return value


def rate(text: str) -> float:
    """Read a rate in requests per second."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a rate; give requests per second above zero, such as 10 or 0.5"
        )
    return value


def count(text: str) -> int:
    """Read a whole number above zero."""
    if not re.fullmatch(r"\d{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


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


def api_key(environment: dict[str, str] | os._Environ[str]) -> str | None:
    """Return the API key of the environment, or None where there is none.

    Raises:
        OptionError: The key cannot be sent in a header. The message does not tell it.
    """
    key = environment.get("OPENAI_API_KEY")
    if key and not (key.isascii() and key.isprintable()):
        raise OptionError(
            "OPENAI_API_KEY: holds characters that no header may carry; set it without line ends"
        )
    return key or None
