"""What the generator needs from a provider: request body out, events in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one request asks for.

    Attributes:
        model: The model's name as the server knows it.
        prompt: The user's text.
        output_tokens: Tokens to generate; an upper bound where the provider cannot fix it.
        stream: Whether the answer comes token by token.
    """

    model: str
    prompt: str
    output_tokens: int
    stream: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """The server's own count of tokens."""

    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Event:
    """What one event of a stream, or one plain answer, says.

    Attributes:
        text: Generated text; empty in events that only open, close or count.
        usage: The server's token count where this event carries it.
        done: Whether this event ends the stream.
    """

    text: str = ""
    usage: Usage | None = None
    done: bool = False


class Provider(Protocol):
    """One API. It holds no state of a run, so that one object serves all requests."""

    @property
    def path(self) -> str:
        """Path of the API below the server's base URL, with its leading slash."""

    def headers(self, api_key: str | None) -> Mapping[str, str]:
        """Return the headers of every request, with the key where there is one."""

    def body(self, ask: Ask) -> bytes:
        """Return the request body."""

    def read_event(self, data: bytes) -> Event:
        """Return the meaning of one event of a stream.

        Raises:
            AnswerError: The event is malformed or reports an error.
        """

    def read_answer(self, body: bytes) -> Event:
        """Return the meaning of a plain answer.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """
