"""The command line: ``llm-benchmark run`` and ``llm-benchmark stub-server``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from llm_benchmark import options, stub_server
from llm_benchmark.arrivals import ARRIVALS
from llm_benchmark.clock import SECOND_NS
from llm_benchmark.errors import OptionError
from llm_benchmark.providers import PROVIDERS
from llm_benchmark.records import PARTIAL_NAME
from llm_benchmark.run import run_load

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """\
An open-loop load generator for LLM inference servers: requests are sent when they are due,
whatever is outstanding, and latency is counted from that instant too.
"""

EXAMPLES = """\
example, without any model: a server with known timings in one terminal

  llm-benchmark stub-server --port 8099

and its load in another:

  llm-benchmark run --url http://127.0.0.1:8099 --provider vllm --model stub \\
      --rate 10 --duration 2s --out results
"""

RUN_DESCRIPTION = """\
Send requests to an LLM server at a fixed mean rate. Writes into the folder --out:

  started.json       when the run began, as soon as its first request is due
  requests.parquet   one record per request
  load-summary.json  the figures, and whether the client kept its schedule (valid)

An API key is read from the environment variable OPENAI_API_KEY.
Exit status: 0; 1 every request failed, or the results cannot be written; 2 bad options;
130 or 143 interrupted (Ctrl-C, SIGTERM), with what there is written.
"""

RUN_EXAMPLES = """\
example, against 'llm-benchmark stub-server --port 8099':

  llm-benchmark run --url http://127.0.0.1:8099 --provider vllm --model stub \\
      --arrivals poisson --rate 20 --duration 2s --prompt-tokens 64 --output-tokens 16 \\
      --seed 1 --spans results/spans.jsonl --out results
"""

STUB_DESCRIPTION = f"""\
Serve chat completions with known token counts and known timings: the first token --ttft after the
request arrived, the others --itl apart. Listens on 127.0.0.1 until Ctrl-C.

With --mode every answer goes wrong in one way; the model 'stub:MODE' does so for one request. The
model 'stub' is healthy, any other is unknown. Modes:

{stub_server.describe_modes()}
"""

STUB_EXAMPLES = """\
example:

  llm-benchmark stub-server --port 8099 --ttft 20ms --itl 5ms --tokens 32
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; None takes the process's own.

    Returns:
        The exit status.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return _run(chosen) if chosen.command == "run" else _stub_server(chosen)
    except OptionError as error:
        print(f"llm-benchmark {chosen.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(chosen: argparse.Namespace) -> int:
    values = {name: value for name, value in vars(chosen).items() if name != "command"}
    run_options = options.RunOptions(**values)
    run_options.check()
    try:
        return run_load(run_options, options.api_key(os.environ))
    except OSError as error:
        kept = run_options.out / PARTIAL_NAME
        print(
            f"llm-benchmark run: the results cannot be written: {error}; make room or give another"
            f" --out. Records so far: {kept}",
            file=sys.stderr,
        )
        return 1


def _stub_server(chosen: argparse.Namespace) -> int:
    script = stub_server.Script(
        ttft_s=chosen.ttft / SECOND_NS,
        itl_s=chosen.itl / SECOND_NS,
        tokens=chosen.tokens,
        mode=chosen.mode or "",
    )
    try:
        return stub_server.serve(script, chosen.port)
    except OSError as error:
        print(f"llm-benchmark stub-server: {error}; give another --port", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="llm-benchmark",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_stub_server(commands)
    return parser


def _add_command(
    commands: argparse._SubParsersAction[_Parser], name: str, summary: str, text: str, epilog: str
) -> _Parser:
    return commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add_command(
        commands, "run", "send load to a server and record it", RUN_DESCRIPTION, RUN_EXAMPLES
    )
    add = parser.add_argument
    add("--url", required=True, type=options.base_url, help="base URL of the server, without /v1")
    add("--provider", required=True, choices=sorted(PROVIDERS), help="API that the server speaks")
    add("--model", required=True, help="name of the model as the server knows it")
    add(
        "--arrivals",
        choices=sorted(ARRIVALS),
        default="constant",
        help="evenly spaced, or independent of each other (default constant)",
    )
    add("--rate", required=True, type=options.rate, help="requests per second")
    add(
        "--duration",
        dest="duration_ns",
        metavar="TIME",
        required=True,
        type=options.positive_duration,
        help="how long requests are sent, such as 60s or 2m",
    )
    _add_content(parser)
    add("--seed", type=options.seed, default=0, help="seed of every random choice (default 0)")
    add(
        "--timeout",
        dest="timeout_ns",
        metavar="TIME",
        type=options.positive_duration,
        default="60s",
        help="time after which one request is given up (default 60s)",
    )
    add(
        "--grace",
        dest="grace_ns",
        metavar="TIME",
        type=options.duration,
        default="10s",
        help="how long an interrupted run waits for requests in flight (default 10s)",
    )
    add("--spans", type=Path, metavar="FILE", help="also write the client's spans as OTLP JSON")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the results")


def _add_content(parser: argparse.ArgumentParser) -> None:
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument(
        "--prompt-tokens",
        type=options.count,
        default=64,
        metavar="N",
        help="random prompts of N common words, about N tokens (default 64)",
    )
    prompt.add_argument("--prompt", metavar="TEXT|@FILE", help="this prompt for every request")
    parser.add_argument(
        "--output-tokens",
        type=options.count,
        default=32,
        metavar="N",
        help="tokens of every answer, exact with the provider vllm (default 32)",
    )
    parser.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="answers token by token (default), or whole",
    )


def _add_stub_server(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add_command(
        commands,
        "stub-server",
        "serve known answers at known times",
        STUB_DESCRIPTION,
        STUB_EXAMPLES,
    )
    add = parser.add_argument
    add("--port", required=True, type=options.port, help="TCP port; 0 takes a free one")
    add(
        "--ttft",
        metavar="TIME",
        type=options.duration,
        default="20ms",
        help="time from request to first token (default 20ms)",
    )
    add(
        "--itl",
        metavar="TIME",
        type=options.duration,
        default="5ms",
        help="time between tokens (default 5ms)",
    )
    add(
        "--tokens",
        type=options.count,
        metavar="N",
        help="tokens of every answer (default: as many as the request's max_tokens)",
    )
    add("--mode", type=stub_server.mode, help="way in which every answer goes wrong")
