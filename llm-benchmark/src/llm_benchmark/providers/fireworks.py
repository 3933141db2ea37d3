"""Fireworks' API, which follows OpenAI's below ``/inference``.

Source: https://docs.fireworks.ai/api-reference/post-chatcompletions: a stream's last chunk carries
the usage; ``prompt_cache_max_len`` 0 leaves the prompt cache out of the measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_benchmark.providers.openai import OpenAI

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask


class Fireworks(OpenAI):
    """Answers as long as asked, without the prompt cache."""

    key_variable = "FIREWORKS_API_KEY"

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path of the API."""
        return "/inference" + super().path(model, stream=stream)

    def own_fields(self, ask: Ask) -> dict[str, Any]:
        """Return Fireworks' sampling parameters."""
        return {"min_tokens": ask.output_tokens, "prompt_cache_max_len": 0}
