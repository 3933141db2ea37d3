"""``llm-benchmark run``: send load to a server and record it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_benchmark import providers
from llm_benchmark.commands import load, parsing
from llm_benchmark.errors import OptionError
from llm_benchmark.options import RunOptions
from llm_benchmark.providers.base import APIS
from llm_benchmark.run import run_load
from llm_benchmark.schedules import read_arguments
from llm_benchmark.units import duration, positive_duration
from llm_benchmark.worker_process import TRANSPORTS

if TYPE_CHECKING:
    from llm_benchmark.commands.parsing import Commands
    from llm_benchmark.options import LoadOptions

TEXT = """\
Send requests to an LLM server when they are due, and record what comes back. Writes into --out:

  load-summary.json  the figures, and whether the client can be believed (valid); also as .csv
  requests.parquet   one record per request
  report.html        the same to look at: over time, and as distributions
  schedule.parquet   when each request was due, to be sent again with --schedule
  started.json       when the run began, as soon as its first request is due

An API key is read from the environment: OPENAI_API_KEY for vllm and openai, ANYSCALE_API_KEY,
FIREWORKS_API_KEY, TOGETHER_API_KEY, HF_TOKEN (tgi), TRITON_API_KEY.
Exit status: 0; 1 every request failed, or the results cannot be written; 2 bad options;
130 or 143 interrupted (Ctrl-C, SIGTERM), with what there is written.
"""

EXAMPLE = """\
example, against 'llm-benchmark stub-server --port 8099':

  llm-benchmark run --url http://127.0.0.1:8099 --provider vllm --model stub \\
      --arrivals poisson --rate 20 --duration 2s --prompt-tokens 64 --output-tokens 16 \\
      --slo ttft=200ms,itl=50ms --seed 1 --out results
"""
# Options that a schedule file already answers.
OF_SCHEDULE = ("rate", "duration", "stages", "trace", "concurrency", "prompt", "dataset")


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(
        commands, "run", "send load to a server and record it", TEXT, EXAMPLE
    )
    add_server(parser)
    load.add_arrivals(parser)
    load.add_content(parser)
    add_measures(parser)
    group = parser.add_argument_group("a part of a larger run")
    group.add_argument(
        "--schedule",
        type=Path,
        metavar="FILE",
        help="send exactly the load of this file of 'llm-benchmark schedule' or of an earlier run",
    )
    group.add_argument(
        "--shard",
        type=parsing.shard,
        default="0/1",
        metavar="I/N",
        help="send every N-th request from the I-th on: for several machines, with --start-at",
    )
    group.add_argument(
        "--start-at",
        type=parsing.instant,
        metavar="INSTANT",
        help="start at this instant (ISO 8601) instead of at once",
    )
    parser.add_argument(
        "--metrics-port",
        type=parsing.port,
        metavar="PORT",
        help="show metrics for Prometheus at 127.0.0.1:PORT/metrics while the run lasts",
    )
    parser.add_argument(
        "--spans", type=Path, metavar="FILE", help="also write the client's spans as OTLP JSON"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the results"
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options that say to whom requests are sent, and how."""
    group = parser.add_argument_group("the server")
    add_ = group.add_argument
    add_("--url", required=True, type=parsing.base_url, help="base URL of the server, without /v1")
    add_(
        "--provider",
        required=True,
        choices=providers.names(),
        help="API that the server speaks: %(choices)s",
        metavar="NAME",
    )
    add_("--model", required=True, help="name of the model as the server knows it")
    add_(
        "--api",
        choices=APIS,
        default=APIS[0],
        help="chat messages or plain prompts, where a provider has both (default chat)",
    )
    add_(
        "--stream",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="answers token by token (default), or whole",
    )
    add_(
        "--body",
        type=parsing.json_object,
        default="{}",
        metavar="JSON",
        help="""fields for every request's body, as in '{"temperature": 0}'; null takes one out""",
    )
    add_("--ca", type=Path, metavar="FILE", help="certificates to trust (PEM), not the system's")
    add_("--insecure", action="store_true", help="trust any certificate")
    add_(
        "--timeout",
        metavar="TIME",
        type=positive_duration,
        default="60s",
        help="time after which one request is given up (default 60s)",
    )
    add_(
        "--transport",
        choices=TRANSPORTS,
        default=TRANSPORTS[0],
        help="aiohttp (default), or raw: a protocol of our own at half the processor time",
    )
    add_(
        "--workers",
        type=parsing.count,
        default=1,
        metavar="N",
        help="processes that share the load (default 1)",
    )


def add_measures(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is measured."""
    group = parser.add_argument_group("what is measured")
    add_ = group.add_argument
    for name, place in (("warmup", "start"), ("cooldown", "end")):
        add_(
            f"--{name}",
            type=duration,
            default="0s",
            metavar="TIME",
            help=f"leave requests of this time at the {place} out of the figures (default 0s)",
        )
    add_(
        "--slo",
        type=parsing.objectives,
        default={},
        metavar="LIST",
        help="count the requests within these times, as in ttft=200ms,itl=50ms: ttft and e2e from"
        " the instant at which a request was due, itl the mean gap of a request, tpot per token",
    )
    add_(
        "--grace",
        metavar="TIME",
        type=duration,
        default="10s",
        help="how long an interrupted run waits for requests in flight (default 10s)",
    )


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    options = run_options(chosen, load=_load(chosen))
    options.check()
    return run_load(options)


def run_options(chosen: argparse.Namespace, **others: Any) -> RunOptions:
    """Return the run that was chosen, with some of it said otherwise."""
    values: dict[str, Any] = {
        field.name: getattr(chosen, field.name, None) for field in fields(RunOptions)
    }
    return RunOptions(**values | others)


def _load(chosen: argparse.Namespace) -> LoadOptions:
    if chosen.schedule is None:
        return load.load_options(chosen)
    for name in OF_SCHEDULE:
        if getattr(chosen, name) is not None:
            raise OptionError(f"--{name}: not allowed with --schedule, which holds the load")
    return load.parse_load(read_arguments(chosen.schedule))
