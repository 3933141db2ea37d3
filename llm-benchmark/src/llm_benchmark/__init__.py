"""An open-loop load generator for LLM inference servers."""

from importlib.metadata import version

VERSION = version("rca-llm")
