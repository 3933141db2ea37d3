"""OpenAI's chat completions and text completions, which many servers speak.

Sources: https://platform.openai.com/docs/api-reference/chat,
https://platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from llm_benchmark.errors import AnswerError
from llm_benchmark.providers.base import Event, Usage, json_body, json_headers

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask

DONE = b"[DONE]"
END = Event(done=True)
SILENT = Event()
# Reasoning models generate part of their tokens under other names.
REASONING = ("reasoning_content", "reasoning")


class OpenAI:
    """The two APIs, streamed or plain.

    Args:
        api: ``chat`` or ``completions``.
    """

    key_variable = "OPENAI_API_KEY"
    tells_usage = True
    marks_end = True

    def __init__(self, api: str) -> None:
        self._chat = api == "chat"

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path of the API."""
        return "/v1/chat/completions" if self._chat else "/v1/completions"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request, with the key where there is one."""
        return json_headers(api_key)

    def body(self, ask: Ask) -> bytes:
        """Return the request body as JSON."""
        fields: dict[str, Any] = {
            "model": ask.model,
            "max_tokens": ask.output_tokens,
            "stream": ask.stream,
            **self.own_fields(ask),
        }
        if self._chat:
            fields["messages"] = [
                {"role": message.role, "content": message.text} for message in ask.messages
            ]
        else:
            fields["prompt"] = ask.prompt
        return json_body(fields, ask.extra)

    def own_fields(self, ask: Ask) -> dict[str, Any]:
        """Return the fields by which this provider differs from its kin."""
        return {"stream_options": {"include_usage": True}} if ask.stream else {}

    def read_event(self, data: bytes) -> Event:
        """Return the meaning of one event of a stream.

        Raises:
            AnswerError: The event is malformed or reports an error.
        """
        if data == DONE:
            return END
        return read(data, "delta" if self._chat else "")

    def read_answer(self, body: bytes, prompt: str) -> Event:
        """Return the meaning of a plain answer.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """
        return read(body, "message" if self._chat else "")


def read(data: bytes, part: str) -> Event:
    """Return the meaning of a completion or a chunk of it.

    Args:
        data: JSON.
        part: Where in a choice the text lies: ``delta``, ``message``, or empty for itself.

    Raises:
        AnswerError: It is no completion, or it reports an error.
    """
    try:
        message = orjson.loads(data)
        if message.get("error") is not None:
            raise AnswerError("error_event", orjson.dumps(message["error"]).decode())
        text = ""
        for choice in message["choices"]:
            text += _text(choice[part]) if part else (choice["text"] or "")
        counts = message.get("usage")
        if not counts:
            return Event(text) if text else SILENT
        return Event(text, Usage(int(counts["prompt_tokens"]), int(counts["completion_tokens"])))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AnswerError("malformed", f"not a completion ({error!r}): {data[:200]!r}") from error


def _text(part: dict[str, Any]) -> str:
    text: str = part.get("content") or ""
    for name in REASONING:
        if part.get(name):
            text += part[name]
    return text
