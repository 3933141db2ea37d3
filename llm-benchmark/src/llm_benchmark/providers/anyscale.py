"""Anyscale's endpoints and services: Ray Serve behind OpenAI's API.

Source: https://docs.anyscale.com/llm/serving (services are called as OpenAI's API).
"""

from __future__ import annotations

from llm_benchmark.providers.openai import OpenAI


class Anyscale(OpenAI):
    """OpenAI's API with a key of its own."""

    key_variable = "ANYSCALE_API_KEY"
