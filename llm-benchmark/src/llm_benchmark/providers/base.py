"""What the generator needs from a provider: request body out, events in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

APIS = ("chat", "completions")


class Message(NamedTuple):
    """One message of a conversation; ``role`` is ``user`` or ``assistant``."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one request asks for.

    Attributes:
        model: The model's name as the server knows it.
        messages: The conversation so far, the user's latest message last.
        output_tokens: Tokens to generate; an upper bound where the provider cannot fix it.
        stream: Whether the answer comes token by token.
        extra: Fields that go into the body beside the provider's own, or in their place; None takes
            a field out.
    """

    model: str
    messages: tuple[Message, ...]
    output_tokens: int
    stream: bool
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """All messages as one text, for the APIs that know no messages."""
        return "\n".join(message.text for message in self.messages)


class Usage(NamedTuple):
    """The server's own count of tokens; None where it does not count the prompt's."""

    prompt_tokens: int | None
    output_tokens: int


class Event(NamedTuple):
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
    """One API. It holds no state of a run, so that one object serves all requests.

    A new one is made known by an entry point of the group ``llm_benchmark.providers``: its name is
    the provider's, its object a function from the API's name (one of ``APIS``) to a provider.
    """

    @property
    def key_variable(self) -> str:
        """Environment variable that holds the API key."""

    @property
    def tells_usage(self) -> bool:
        """Whether every complete answer tells its token counts; if not, they are counted."""

    @property
    def marks_end(self) -> bool:
        """Whether a stream ends with an event that says so; if not, its body's end is the end."""

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path of the API below the server's base URL, with its leading slash.

        Raises:
            OptionError: The API cannot do what is asked.
        """

    def headers(self, api_key: str | None) -> Mapping[str, str]:
        """Return the headers of every request, with the key where there is one."""

    def body(self, ask: Ask) -> bytes:
        """Return the request body."""

    def read_event(self, data: bytes) -> Event:
        """Return the meaning of one event of a stream.

        Raises:
            AnswerError: The event is malformed or reports an error.
        """

    def read_answer(self, body: bytes, prompt: str) -> Event:
        """Return the meaning of a plain answer to a prompt.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """


def json_headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of a JSON request with a bearer token."""
    headers = {"Content-Type": "application/json"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def json_body(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
    """Return a body of these fields and the extra ones; an extra None takes a field out."""
    return orjson.dumps(
        {name: value for name, value in {**fields, **extra}.items() if value is not None}
    )
