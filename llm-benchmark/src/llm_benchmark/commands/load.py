"""The options that say what is asked and when; ``run``, ``schedule`` and ``sweep`` share them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_benchmark.arrivals import ARRIVALS, parse_stages
from llm_benchmark.commands import parsing
from llm_benchmark.options import CLOSED, REPLAY, LoadOptions
from llm_benchmark.units import duration, positive_duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NAMES = tuple(field.name for field in fields(LoadOptions))


def add_arrivals(parser: argparse.ArgumentParser, *, with_rate: bool = True) -> None:
    """Add the options that say when."""
    group = parser.add_argument_group("when requests are sent")
    add = group.add_argument
    add(
        "--arrivals",
        choices=(*ARRIVALS, REPLAY, CLOSED) if with_rate else ARRIVALS,
        default="constant",
        help="evenly spaced (default), poisson, gamma (see --burstiness), gaps uniform between zero"
        " and twice the mean, bursts (see --burst-every)"
        + (", replay of a --trace, or a closed loop of --concurrency" if with_rate else ""),
    )
    add(
        "--burstiness",
        type=parsing.factor,
        metavar="K",
        help="shape of gamma arrivals: 1 is poisson, less is burstier, more is evener",
    )
    add(
        "--burst-every",
        type=positive_duration,
        metavar="TIME",
        help="time between bursts (default 1s); each holds what --rate makes of it",
    )
    if with_rate:
        _add_amount(add)


def _add_amount(add: Any) -> None:
    add("--rate", type=parsing.rate, help="requests per second")
    add(
        "--duration",
        type=positive_duration,
        metavar="TIME",
        help="how long requests are sent, such as 60s or 2m",
    )
    add(
        "--stages",
        type=parse_stages,
        metavar="LIST",
        help="rates and linear ramps instead of --rate and --duration: 10@30s,10-50@60s,50@2m",
    )
    add(
        "--requests",
        type=parsing.count,
        metavar="N",
        help="send no more than N requests (conversations, with --turns)",
    )
    add(
        "--trace",
        type=Path,
        metavar="FILE",
        help="trace to replay: the CSV of Azure or BurstGPT, the JSON lines of Mooncake, or columns"
        " time_s, prompt_tokens, output_tokens",
    )
    add("--speed", type=parsing.factor, metavar="X", help="replay X times as fast (default 1)")
    add(
        "--concurrency",
        type=parsing.count,
        metavar="N",
        help="closed loop: keep N requests in flight",
    )


def add_content(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what."""
    group = parser.add_argument_group(
        "what is asked",
        "Numbers of tokens are numbers, or distributions: uniform:min=32,max=128,"
        " normal:mean=64,sd=16,max=256, exponential:mean=64,max=512.",
    )
    add = group.add_argument
    add(
        "--prompt-tokens",
        type=parsing.tokens,
        metavar="N",
        help="random prompts of exactly N tokens of --tokenizer (default 64)",
    )
    add("--prompt", metavar="TEXT|@FILE", help="this prompt for every request")
    add(
        "--dataset",
        type=Path,
        metavar="FILE",
        help='prompts of a file: ShareGPT\'s JSON, or JSON lines with "prompt" or "messages"',
    )
    add(
        "--output-tokens",
        type=parsing.tokens,
        metavar="N",
        help="tokens of every answer (default 32; with --dataset: those of its answers), exact with"
        " vllm and fireworks",
    )
    add(
        "--tokenizer",
        default="words",
        metavar="NAME",
        help="what a token is: words (default; about right for most models), bytes, or the folder"
        " of a Hugging Face model with its tokenizer.json",
    )
    add(
        "--prefix-tokens",
        type=parsing.count_or_zero,
        default=0,
        metavar="N",
        help="N more tokens at the start, the same for all prompts of a group (default 0)",
    )
    add(
        "--prefix-groups",
        type=parsing.count,
        default=1,
        metavar="N",
        help="number of such groups (default 1)",
    )
    add(
        "--turns",
        type=parsing.tokens,
        default="1",
        metavar="N",
        help="turns of each conversation; each sends all that was said before (default 1)",
    )
    add(
        "--think-time",
        type=duration,
        default="0s",
        metavar="TIME",
        help="time between an answer and the next turn (default 0s)",
    )
    add("--seed", type=parsing.seed, default=0, help="seed of every random choice (default 0)")


def load_options(chosen: argparse.Namespace, **others: Any) -> LoadOptions:
    """Return the load that was chosen, with some of it said otherwise."""
    values: dict[str, Any] = {name: getattr(chosen, name, None) for name in NAMES}
    return LoadOptions(**values | others)


def parse_load(arguments: Sequence[str]) -> LoadOptions:
    """Return the load that arguments describe, such as those of a schedule file."""
    parser = parsing.Parser(prog="llm-benchmark", add_help=False, allow_abbrev=False)
    add_arrivals(parser)
    add_content(parser)
    return load_options(parser.parse_args(arguments))
