"""Triton's generate extension, as its vLLM and TensorRT-LLM back ends fill it.

Source: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/
extension_generate.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson

from llm_benchmark.errors import AnswerError
from llm_benchmark.providers.base import Event, json_body, json_headers

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask


class TritonGenerate:
    """One event per token, no counts, and no event that says that it is the last."""

    key_variable = "TRITON_API_KEY"
    tells_usage = False
    marks_end = False

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path of the model."""
        return f"/v2/models/{quote(model, safe='')}/generate{'_stream' if stream else ''}"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request, with the key where there is one."""
        return json_headers(api_key)

    def body(self, ask: Ask) -> bytes:
        """Return the request body as JSON."""
        fields = {
            "text_input": ask.prompt,
            "max_tokens": ask.output_tokens,
            "stream": ask.stream,
            "bad_words": "",
            "stop_words": "",
        }
        return json_body(fields, ask.extra)

    def read_event(self, data: bytes) -> Event:
        """Return the meaning of one event of a stream.

        Raises:
            AnswerError: The event is malformed or reports an error.
        """
        try:
            message = orjson.loads(data)
            if message.get("error") is not None:
                raise AnswerError("error_event", str(message["error"]))
            return Event(str(message["text_output"]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise AnswerError(
                "malformed", f"not an answer of Triton ({error!r}): {data[:200]!r}"
            ) from error

    def read_answer(self, body: bytes, prompt: str) -> Event:
        """Return the meaning of a plain answer; a prompt repeated in front of it is left out.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """
        return Event(without_prompt(self.read_event(body).text, prompt), done=True)


def without_prompt(text: str, prompt: str) -> str:
    """Return an answer's text without the prompt that TensorRT-LLM may repeat in front of it."""
    return text.removeprefix("<s>").lstrip().removeprefix(prompt)
