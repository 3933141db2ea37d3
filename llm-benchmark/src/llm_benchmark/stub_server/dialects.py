"""What the stub says in each provider's protocol: events and bodies, all made before they are due.

Sources: the pages that the modules in ``llm_benchmark.providers`` name.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_TOKENS = 32
ERROR = {"error": {"message": "as asked", "code": 500}}
DONE = b"data: [DONE]\n\n"
CREATED = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for, whatever its protocol.

    Attributes:
        model: The model's name.
        prompt: The text of all messages.
        tokens: How many tokens to generate.
        stream: Whether to answer token by token.
        usage: Whether a stream shall tell its token counts.
    """

    model: str
    prompt: str
    tokens: int
    stream: bool
    usage: bool


class Dialect(Hashable, Protocol):
    """One protocol, as a server speaks it."""

    def read(self, path: str, body: dict[str, Any]) -> Ask:
        """Return what the request asks for; KeyError, TypeError, ValueError: a bad request."""

    def opening(self) -> bytes:
        """Return what a stream begins with before any token."""

    def event(self, text: str, number: int) -> dict[str, Any]:
        """Return the event of one token; ``number`` counts from 0."""

    def closing(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
        """Return the events after the last token."""

    def end_mark(self) -> bytes:
        """Return what says that the stream is complete."""

    def plain(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> dict[str, Any]:
        """Return a whole answer."""


def frame(event: dict[str, Any]) -> bytes:
    """Return an event as server-sent event."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _openai_usage(usage: tuple[int, int]) -> dict[str, int]:
    prompt, output = usage
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }


class OpenAIChat:
    """Chat completions, as vLLM, OpenAI and their kin serve them."""

    object = "chat.completion"

    def read(self, path: str, body: dict[str, Any]) -> Ask:
        """Return what the request asks for."""
        return Ask(
            model=str(body["model"]),
            prompt=self._prompt(body),
            tokens=int(body.get("max_tokens", DEFAULT_TOKENS)),
            stream=bool(body.get("stream")),
            usage=True,
        )

    def opening(self) -> bytes:
        """Return the event with the role, which servers send before there is any token."""
        return frame(self._chunk({"delta": {"role": "assistant", "content": ""}}))

    def event(self, text: str, number: int) -> dict[str, Any]:
        """Return the event of one token."""
        return self._chunk({"delta": {"content": text}})

    def closing(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
        """Return the finish event without text and the one that counts."""
        events = [self._chunk({"delta": {}}, finish="length")]
        if usage is not None:
            events.append(self._chunk(None) | {"usage": _openai_usage(usage)})
        return events

    def end_mark(self) -> bytes:
        """Return the end mark of OpenAI's streams."""
        return DONE

    def plain(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> dict[str, Any]:
        """Return a whole completion."""
        choice = {"index": 0, "finish_reason": "length", **self._whole(text)}
        counts = {} if usage is None else {"usage": _openai_usage(usage)}
        return self._envelope(self.object) | {"choices": [choice], **counts}

    def _prompt(self, body: dict[str, Any]) -> str:
        return "\n".join(_content(message["content"]) for message in body["messages"])

    def _whole(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}}

    def _chunk(self, choice: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        envelope = self._envelope(f"{self.object}.chunk")
        if choice is None:
            return envelope | {"choices": []}
        rest = {"logprobs": None, "finish_reason": finish}
        return envelope | {"choices": [{"index": 0, **choice, **rest}]}

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": "cmpl-stub", "object": kind, "created": CREATED, "model": "stub"}


def _content(content: str | list[dict[str, str]]) -> str:
    """Return the text of a message, which may come in parts."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content)


class OpenAICompletions(OpenAIChat):
    """Text completions, as vLLM, OpenAI and their kin serve them."""

    object = "text_completion"

    def opening(self) -> bytes:
        """Return nothing: there is no role to tell."""
        return b""

    def event(self, text: str, number: int) -> dict[str, Any]:
        """Return the event of one token."""
        return self._chunk({"text": text})

    def closing(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
        """Return the finish event without text and the one that counts."""
        events = [self._chunk({"text": ""}, finish="length")]
        if usage is not None:
            events.append(self._chunk(None) | {"usage": _openai_usage(usage)})
        return events

    def _prompt(self, body: dict[str, Any]) -> str:
        return str(body["prompt"])

    def _whole(self, text: str) -> dict[str, Any]:
        return {"text": text}


class TextGenerationInference:
    """``/generate`` and ``/generate_stream``."""

    def read(self, path: str, body: dict[str, Any]) -> Ask:
        """Return what the request asks for."""
        parameters = body.get("parameters") or {}
        return Ask(
            model="stub",
            prompt=str(body["inputs"]),
            tokens=int(parameters.get("max_new_tokens", DEFAULT_TOKENS)),
            stream=path.endswith("_stream"),
            usage=bool(parameters.get("details")),
        )

    def opening(self) -> bytes:
        """Return nothing."""
        return b""

    def event(self, text: str, number: int) -> dict[str, Any]:
        """Return the event of one token."""
        return {
            "index": number + 1,
            "token": {"id": number, "text": text, "logprob": -1.0, "special": False},
            "generated_text": None,
            "details": None,
        }

    def closing(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
        """Return the event that carries the last, special token and the whole text."""
        last = self.event("", ask.tokens)
        last["token"]["special"] = True
        return [last | self.plain(ask, text, usage)]

    def end_mark(self) -> bytes:
        """Return nothing: the closing event is the mark."""
        return b""

    def plain(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> dict[str, Any]:
        """Return a whole answer."""
        details = None
        if usage is not None and ask.usage:
            prompt, output = usage
            details = {
                "finish_reason": "length",
                "generated_tokens": output,
                "input_length": prompt,
                "prefill": [{"id": 0, "text": "", "logprob": None}] * (0 if ask.stream else prompt),
            }
        return {"generated_text": text, "details": details}


class TritonGenerate:
    """Triton's generate extension, ``/v2/models/MODEL/generate`` and ``generate_stream``."""

    def read(self, path: str, body: dict[str, Any]) -> Ask:
        """Return what the request asks for."""
        return Ask(
            model=path.split("/")[3],
            prompt=str(body["text_input"]),
            tokens=int(body.get("max_tokens", DEFAULT_TOKENS)),
            stream=path.endswith("_stream"),
            usage=False,
        )

    def opening(self) -> bytes:
        """Return nothing."""
        return b""

    def event(self, text: str, number: int) -> dict[str, Any]:
        """Return the event of one token."""
        return {"model_name": "stub", "model_version": "1", "text_output": text}

    def closing(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> list[dict[str, Any]]:
        """Return nothing."""
        return []

    def end_mark(self) -> bytes:
        """Return nothing: the end of the body is the end."""
        return b""

    def plain(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> dict[str, Any]:
        """Return a whole answer."""
        return {"model_name": "stub", "model_version": "1", "text_output": text}


class TritonInfer(TritonGenerate):
    """Triton's inference protocol, ``/v2/models/MODEL/infer``: tensors in, tensors out."""

    def read(self, path: str, body: dict[str, Any]) -> Ask:
        """Return what the request asks for."""
        inputs = {tensor["name"]: tensor["data"] for tensor in body["inputs"]}
        return Ask(
            model=path.split("/")[3],
            prompt=str(_only(inputs["text_input"])),
            tokens=int(_only(inputs["max_tokens"])),
            stream=False,
            usage=False,
        )

    def plain(self, ask: Ask, text: str, usage: tuple[int, int] | None) -> dict[str, Any]:
        """Return a whole answer; the backend repeats the prompt in front of it."""
        tensor = {
            "name": "text_output",
            "datatype": "BYTES",
            "shape": [1],
            "data": [f"{ask.prompt} {text}"],
        }
        return {"model_name": "stub", "model_version": "1", "outputs": [tensor]}


def _only(data: Any) -> Any:
    while isinstance(data, list):
        [data] = data
    return data


_PATHS: list[tuple[str, Callable[[], Dialect]]] = [
    (r"(/inference)?/v1/chat/completions", OpenAIChat),
    (r"(/inference)?/v1/completions", OpenAICompletions),
    (r"/generate(_stream)?", TextGenerationInference),
    (r"/v2/models/[^/]+/generate(_stream)?", TritonGenerate),
    (r"/v2/models/[^/]+/infer", TritonInfer),
]


@lru_cache
def dialect_of(path: str) -> Dialect | None:
    """Return what is spoken at this path; None: nothing."""
    for pattern, dialect in _PATHS:
        if re.fullmatch(pattern, path):
            return dialect()
    return None


@lru_cache(maxsize=8192)
def token_frame(dialect: Dialect, first: int, count: int) -> bytes:
    """Return the event of one token, or of several neighbours."""
    text = "".join(f"word{number} " for number in range(first, first + count))
    return frame(dialect.event(text, first))
