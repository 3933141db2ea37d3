"""The APIs that the generator speaks, by name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from llm_benchmark.providers.anyscale import Anyscale
from llm_benchmark.providers.fireworks import Fireworks
from llm_benchmark.providers.openai import OpenAI
from llm_benchmark.providers.tgi import TextGenerationInference
from llm_benchmark.providers.together import Together
from llm_benchmark.providers.triton_generate import TritonGenerate
from llm_benchmark.providers.triton_infer import TritonInfer
from llm_benchmark.providers.vllm import VLLM

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_benchmark.providers.base import Provider

ENTRY_POINTS = "llm_benchmark.providers"
# For the APIs that have no two forms, the choice of one means nothing.
BUILT_IN: dict[str, Callable[[str], Provider]] = {
    "anyscale": Anyscale,
    "fireworks": Fireworks,
    "openai": OpenAI,
    "tgi": lambda _api: TextGenerationInference(),
    "together": Together,
    "triton-generate": lambda _api: TritonGenerate(),
    "triton-infer": lambda _api: TritonInfer(),
    "vllm": VLLM,
}


def names() -> list[str]:
    """Return the names of all providers, those of other packages included."""
    return sorted(BUILT_IN.keys() | entry_points(group=ENTRY_POINTS).names)


def make_provider(name: str, api: str) -> Provider:
    """Return a provider.

    Args:
        name: One of ``names``.
        api: ``chat`` or ``completions``, where the provider knows both.
    """
    if name in BUILT_IN:
        return BUILT_IN[name](api)
    [entry] = entry_points(group=ENTRY_POINTS, name=name)
    made: Provider = entry.load()(api)
    return made
