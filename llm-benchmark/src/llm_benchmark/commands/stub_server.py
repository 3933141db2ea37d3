"""``llm-benchmark stub-server``: known answers at known times."""

from __future__ import annotations

import ssl
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llm_benchmark import stub_server
from llm_benchmark.commands import parsing
from llm_benchmark.distributions import Distribution, parse
from llm_benchmark.errors import OptionError
from llm_benchmark.units import duration

if TYPE_CHECKING:
    import argparse

    from llm_benchmark.commands.parsing import Commands

TEXT = f"""\
Serve answers with known token counts and known timings: the first token --ttft after the request
arrived, the others --itl apart. Speaks the protocols of all providers, streamed and plain. Listens
on 127.0.0.1 until Ctrl-C.

Times and numbers may be distributions: normal:mean=20ms,sd=5ms, uniform:min=1,max=64.

With --mode answers go wrong in one way; the model 'stub:MODE' does so for one request. The model
'stub' is healthy, any other is unknown. Modes:

{stub_server.describe_modes()}
"""

EXAMPLE = """\
example:

  llm-benchmark stub-server --port 8099 --ttft 20ms --itl 5ms --tokens 32
"""


def add(commands: Commands) -> None:
    """Add the sub-command."""
    parser = parsing.add_command(
        commands, "stub-server", "serve known answers at known times", TEXT, EXAMPLE
    )
    add_ = parser.add_argument
    add_("--port", required=True, type=parsing.port, help="TCP port; 0 takes a free one")
    for name, default, meaning in (
        ("--ttft", "20ms", "time from request to first token"),
        ("--itl", "5ms", "time between tokens"),
    ):
        add_(
            name,
            metavar="TIME",
            type=_times,
            default=default,
            help=f"{meaning} (default {default})",
        )
    add_(
        "--tokens",
        type=parsing.tokens,
        metavar="N",
        help="tokens of every answer (default: as many as the request asks for)",
    )
    add_("--mode", type=stub_server.mode, help="way in which answers go wrong")
    add_(
        "--share",
        type=parsing.share,
        default=1.0,
        help="share of the requests that take --mode (default 1)",
    )
    add_(
        "--pause",
        type=duration,
        default="500ms",
        metavar="TIME",
        help="length of the pauses that some modes make (default 500ms)",
    )
    add_("--seed", type=parsing.seed, default=0, help="seed of what is drawn (default 0)")
    add_(
        "--truth",
        type=Path,
        metavar="FILE",
        help="write at the end what was done when, as JSON lines on the monotonic clock",
    )
    add_("--certificate", type=Path, metavar="FILE", help="speak TLS with this certificate (PEM)")
    add_("--key", type=Path, metavar="FILE", help="its private key (PEM), if not in the same file")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    script = stub_server.Script(
        ttft_ns=chosen.ttft,
        itl_ns=chosen.itl,
        tokens=chosen.tokens,
        mode=chosen.mode or "",
        share=chosen.share,
        pause_ns=chosen.pause,
        seed=chosen.seed,
    )
    try:
        return stub_server.serve(script, chosen.port, tls=_tls(chosen), truth=chosen.truth)
    except OSError as error:
        print(f"llm-benchmark stub-server: {error}; give another --port", file=sys.stderr)
        return 1


def _times(text: str) -> Distribution:
    return parse(text, partial(duration), least=0)


def _tls(chosen: argparse.Namespace) -> ssl.SSLContext | None:
    if chosen.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(chosen.certificate, chosen.key)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(
            f"--certificate {chosen.certificate}: cannot be used ({error}); give PEM files"
        ) from error
    return context
