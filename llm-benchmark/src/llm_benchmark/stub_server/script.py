"""What the stub is told to do: timings, lengths, and ways to go wrong."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llm_benchmark.clock import MILLISECOND_NS
from llm_benchmark.distributions import Distribution, constant

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = "stub"
DEFAULT_TTFT = constant(20 * MILLISECOND_NS)
DEFAULT_ITL = constant(5 * MILLISECOND_NS)
MODES = {
    "http-STATUS": "answer with this HTTP status, such as http-503",
    "disconnect": "close the connection before the answer",
    "reset": "reset the connection after the first token",
    "cut": "close the connection after the first token, in the middle of the body",
    "truncated": "end the body properly after the first token, without the end mark",
    "broken-chunk": "break HTTP's own framing after the first token",
    "stall": "send nothing more after the first token",
    "pause": "send nothing for --pause after the first token, then go on",
    "slow-read": "take the request in no sooner than --pause after its head",
    "late-end": "keep the body open for --pause after the end mark",
    "error-event": "report an error after the first token",
    "malformed": "send an event that is no JSON after the first token",
    "empty": "answer without any text",
    "no-usage": "do not tell the token counts",
    "pairs": "put two tokens into each event",
    "split": "a good answer in pieces of seven bytes, with comments and events of several lines",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the stub answers.

    Attributes:
        ttft_ns: Time from the request to the first token, ns.
        itl_ns: Time between tokens, ns.
        tokens: Tokens of every answer; None for as many as the request asks for.
        mode: A mode that answers take; empty leaves it to the request's model.
        share: Share of the requests that take ``mode``; the others are healthy.
        pause_ns: Length of the pauses that some modes make, ns.
        seed: Seed of what is drawn.
    """

    ttft_ns: Distribution = DEFAULT_TTFT
    itl_ns: Distribution = DEFAULT_ITL
    tokens: Distribution | None = None
    mode: str = ""
    share: float = 1.0
    pause_ns: int = 500 * MILLISECOND_NS
    seed: int = 0


class Dice:
    """Draws what a script leaves to chance."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._rng = np.random.default_rng(script.seed)

    def mode(self) -> str:
        """Return the mode of the next request."""
        script = self._script
        if script.mode and script.share < 1 and self._rng.random() >= script.share:
            return ""
        return script.mode

    def count(self, asked: int) -> int:
        """Return the number of tokens of the next answer, for which a number was asked."""
        return asked if self._script.tokens is None else self._draw(self._script.tokens)

    def ttft(self) -> int:
        """Return the time to the first token, ns."""
        return self._draw(self._script.ttft_ns)

    def gaps(self, count: int) -> Sequence[int]:
        """Return this many times between tokens, ns."""
        law = self._script.itl_ns
        if law.constant is not None:
            return [law.constant] * count
        drawn: list[int] = law.draw(self._rng, count).tolist()
        return drawn

    def _draw(self, law: Distribution) -> int:
        return law.constant if law.constant is not None else int(law.draw(self._rng, 1)[0])


def describe_modes() -> str:
    """Return the modes and what they do, a line each."""
    return "\n".join(f"  {name:12} {effect}" for name, effect in MODES.items())


def is_mode(text: str) -> bool:
    """Tell whether the text names a mode."""
    return text in MODES.keys() - {"http-STATUS"} or bool(re.fullmatch(r"http-[45]\d\d", text))


def mode(text: str) -> str:
    """Read a mode for argparse."""
    if not is_mode(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mode; modes are {', '.join(MODES)}")
    return text
