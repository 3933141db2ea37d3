"""OpenAI's chat completions, as OpenAI, vLLM and many others serve them.

Source: https://platform.openai.com/docs/api-reference/chat; vLLM's extra parameters:
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_benchmark.errors import AnswerError
from llm_benchmark.providers.base import Event, Usage

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask

DONE = b"[DONE]"
# Reasoning models generate part of their tokens under another name.
TEXT_FIELDS = ("content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """Chat completions, streamed or plain.

    Attributes:
        exact_length: Whether to send vLLM's ``ignore_eos`` and ``min_tokens``, which make the
            output exactly as long as asked. Other servers refuse them.
    """

    exact_length: bool
    path: str = "/v1/chat/completions"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request, with the key where there is one."""
        headers = {"Content-Type": "application/json"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        return headers

    def body(self, ask: Ask) -> bytes:
        """Return the request body as JSON."""
        body: dict[str, Any] = {
            "model": ask.model,
            "messages": [{"role": "user", "content": ask.prompt}],
            "max_tokens": ask.output_tokens,
            "stream": ask.stream,
        }
        if ask.stream:
            body["stream_options"] = {"include_usage": True}
        if self.exact_length:
            body["min_tokens"] = ask.output_tokens
            body["ignore_eos"] = True
        return json.dumps(body).encode()

    def read_event(self, data: bytes) -> Event:
        """Return the meaning of one event of a stream.

        Raises:
            AnswerError: The event is malformed or reports an error.
        """
        return Event(done=True) if data == DONE else _read(data, "delta")

    def read_answer(self, body: bytes) -> Event:
        """Return the meaning of a plain answer.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """
        return _read(body, "message")


def _read(data: bytes, part: str) -> Event:
    try:
        message = json.loads(data)
        if message.get("error") is not None:
            raise AnswerError("error_event", json.dumps(message["error"]))
        text = ""
        for choice in message["choices"]:
            text += "".join(choice[part].get(field) or "" for field in TEXT_FIELDS)
        usage = message.get("usage")
        return Event(
            text=text,
            usage=usage and Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"])),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AnswerError(
            "malformed", f"not a chat completion ({error!r}): {data[:200]!r}"
        ) from error
