"""The APIs that the generator speaks, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_benchmark.providers.openai import OpenAIChat

if TYPE_CHECKING:
    from llm_benchmark.providers.base import Provider

PROVIDERS: dict[str, Provider] = {
    "openai": OpenAIChat(exact_length=False),
    "vllm": OpenAIChat(exact_length=True),
}
