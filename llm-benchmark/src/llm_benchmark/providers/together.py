"""Together's API, which follows OpenAI's.

Source: https://docs.together.ai/docs/openai-api-compatibility and
https://docs.together.ai/reference/chat-completions-1: a stream's last chunk carries the usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_benchmark.providers.openai import OpenAI

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask


class Together(OpenAI):
    """Asks to go on after the end of the text, as the study's load generator does."""

    key_variable = "TOGETHER_API_KEY"

    def own_fields(self, ask: Ask) -> dict[str, Any]:
        """Return Together's sampling parameters."""
        return {"ignore_eos": True}
