"""A server with known answers and known timings: the oracle for the generator, and for others.

It speaks the protocols of all providers, and keeps the token times of its answers as its own clock
saw them, so that a client's figures can be held against them.
"""

from llm_benchmark.stub_server.answer import Exchange
from llm_benchmark.stub_server.script import Script, describe_modes, mode
from llm_benchmark.stub_server.server import Stub, serve, start

__all__ = ["Exchange", "Script", "Stub", "describe_modes", "mode", "serve", "start"]
