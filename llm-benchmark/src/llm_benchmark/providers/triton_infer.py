"""Triton's inference protocol: a TensorRT-LLM ensemble asked by named tensors, plain answers only.

Source: https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md and
https://github.com/triton-inference-server/tensorrtllm_backend (tensor names of the ensemble).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from llm_benchmark.errors import AnswerError, OptionError
from llm_benchmark.providers.base import Event, json_body, json_headers
from llm_benchmark.providers.triton_generate import without_prompt

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask


class TritonInfer:
    """Five tensors of shape [1, 1] out, one with the text in."""

    key_variable = "TRITON_API_KEY"
    tells_usage = False
    marks_end = False

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path of the model.

        Raises:
            OptionError: A stream is asked for.
        """
        if stream:
            raise OptionError("--provider triton-infer: cannot stream; add --no-stream")
        return f"/v2/models/{quote(model, safe='')}/infer"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Return the headers of every request, with the key where there is one."""
        return json_headers(api_key)

    def body(self, ask: Ask) -> bytes:
        """Return the request body as JSON."""
        tensors = [
            _tensor("text_input", "BYTES", ask.prompt),
            _tensor("max_tokens", "UINT32", ask.output_tokens),
            _tensor("bad_words", "BYTES", ""),
            _tensor("stop_words", "BYTES", ""),
            _tensor("temperature", "FP32", 1.0),
        ]
        return json_body({"inputs": tensors}, ask.extra)

    def read_event(self, data: bytes) -> Event:
        """Refuse: this protocol does not stream.

        Raises:
            AnswerError: Always.
        """
        raise AnswerError("malformed", "a stream where a plain answer was asked for")

    def read_answer(self, body: bytes, prompt: str) -> Event:
        """Return the meaning of a plain answer; a prompt repeated in front of it is left out.

        Raises:
            AnswerError: The answer is malformed or reports an error.
        """
        try:
            message = orjson.loads(body)
            if message.get("error") is not None:
                raise AnswerError("error_event", str(message["error"]))
            texts = {tensor["name"]: tensor["data"] for tensor in message["outputs"]}
            [text] = texts["text_output"]
            return Event(without_prompt(str(text), prompt), done=True)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise AnswerError(
                "malformed", f"not an answer of Triton ({error!r}): {body[:200]!r}"
            ) from error


def _tensor(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": [1, 1], "data": [[value]]}
