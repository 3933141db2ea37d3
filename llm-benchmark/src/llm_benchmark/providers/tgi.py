"""Hugging Face's Text Generation Inference: ``/generate`` and ``/generate_stream``.

Source: https://huggingface.github.io/text-generation-inference/ (OpenAPI) and
https://huggingface.co/docs/text-generation-inference/conceptual/streaming.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from llm_benchmark.errors import AnswerError
from llm_benchmark.providers.base import Event, Usage, json_body, json_headers

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask


class TextGenerationInference:
    """One event per token; the last one carries the whole text and the counts."""

    key_variable = "HF_TOKEN"
    tells_usage = True
    marks_end = True

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path of the API."""
        return "/generate_stream" if stream else "/generate"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request, with the key where there is one."""
        return json_headers(api_key)

    def body(self, ask: Ask) -> bytes:
        """Return the request body as JSON."""
        parameters: dict[str, Any] = {"max_new_tokens": ask.output_tokens, "details": True}
        if not ask.stream:
            # Without the prompt's tokens there is no count of them in a plain answer.
            parameters["decoder_input_details"] = True
        return json_body({"inputs": ask.prompt, "parameters": parameters}, ask.extra)

    def read_event(self, data: bytes) -> Event:
        """Return the meaning of one event of a stream.

        Raises:
            AnswerError: The event is malformed or reports an error.
        """
        try:
            message = _message(data)
            token = message["token"]
            text = "" if token.get("special") else token["text"]
            if message.get("generated_text") is None:
                return Event(text)
            return Event(text, _usage(message.get("details")), done=True)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _malformed(data, error) from error

    def read_answer(self, body: bytes, prompt: str) -> Event:
        """Return the meaning of a plain answer.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """
        try:
            message = _message(body)
            return Event(message["generated_text"], _usage(message.get("details")), done=True)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _malformed(body, error) from error


def _message(data: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(data)
    if message.get("error") is not None:
        raise AnswerError("error_event", orjson.dumps(message["error"]).decode())
    return message


def _usage(details: dict[str, Any] | None) -> Usage | None:
    if details is None:
        return None
    prefill = details.get("prefill")
    prompt_tokens = details.get("input_length") or (len(prefill) if prefill else None)
    return Usage(prompt_tokens, int(details["generated_tokens"]))


def _malformed(data: bytes, error: Exception) -> AnswerError:
    return AnswerError("malformed", f"not an answer of TGI ({error!r}): {data[:200]!r}")
