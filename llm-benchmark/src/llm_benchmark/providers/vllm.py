"""vLLM's OpenAI-compatible server.

Source: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (extra parameters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_benchmark.providers.openai import OpenAI

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Ask


class VLLM(OpenAI):
    """Answers exactly as long as asked: the end of the text is ignored until then."""

    def own_fields(self, ask: Ask) -> dict[str, Any]:
        """Return vLLM's sampling parameters."""
        return {
            **super().own_fields(ask),
            "min_tokens": ask.output_tokens,
            "ignore_eos": True,
        }
