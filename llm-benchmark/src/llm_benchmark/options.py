"""What a run is asked to do, and whether that makes sense."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from llm_benchmark.arrivals import Profile, Stage, steady
from llm_benchmark.clock import SECOND_NS, iso
from llm_benchmark.errors import OptionError
from llm_benchmark.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llm_benchmark.distributions import Distribution

# Some 40 bytes of schedule are held for every request.
MAX_REQUESTS = 100_000_000
OPEN, REPLAY, CLOSED = "open", "replay", "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What is asked and when: the part of a run that a schedule file holds.

    Field names are those of the options, with ``_`` for ``-``. None: not given.

    Attributes:
        arrivals: Name of the arrival process, ``replay`` or ``closed``.
        rate: Requests per second.
        duration: How long requests are sent, ns.
        stages: Rates and ramps, in place of rate and duration.
        requests: Most requests (or conversations) to send.
        burstiness: Shape of gamma arrivals.
        burst_every: Time between bursts, ns.
        trace: File with the trace to replay.
        speed: How much faster than recorded to replay it.
        concurrency: Requests in flight of a closed loop.
        prompt: Literal text, or ``@`` and a path.
        dataset: File with prompts.
        prompt_tokens: Tokens of a synthetic prompt.
        output_tokens: Tokens to ask for.
        prefix_tokens: Tokens of the prefix that a group's prompts share.
        prefix_groups: Number of such groups.
        turns: Turns of a conversation.
        think_time: Time between an answer and the next turn, ns.
        tokenizer: What a token is.
        seed: Seed of every random choice.
    """

    arrivals: str
    rate: float | None
    duration: int | None
    stages: tuple[Stage, ...] | None
    requests: int | None
    burstiness: float | None
    burst_every: int | None
    trace: Path | None
    speed: float | None
    concurrency: int | None
    prompt: str | None
    dataset: Path | None
    prompt_tokens: Distribution | None
    output_tokens: Distribution | None
    prefix_tokens: int
    prefix_groups: int
    turns: Distribution
    think_time: int
    tokenizer: str
    seed: int

    @property
    def loop(self) -> str:
        """Whether requests come by a rate, by a trace, or when others end."""
        return self.arrivals if self.arrivals in (REPLAY, CLOSED) else OPEN

    @property
    def profile(self) -> Profile:
        """The rate over time of an open loop."""
        if self.stages is not None:
            return Profile(self.stages)
        return steady(self.rate or 0.0, self.duration or 0)

    def check(self) -> None:
        """Check what no single option shows.

        Raises:
            OptionError: Options contradict each other, or one lacks.
        """
        self._check_times()
        for name, needed in (
            ("burstiness", "gamma"),
            ("burst_every", "burst"),
            ("trace", REPLAY),
            ("speed", REPLAY),
            ("concurrency", CLOSED),
        ):
            if getattr(self, name) is not None and self.arrivals != needed:
                raise OptionError(f"{_option(name)}: needs --arrivals {needed}")
        self._check_content()

    def arguments(self) -> list[str]:
        """Return the command-line arguments that these options are read from."""
        arguments = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                arguments += [_option(field.name), _text(field.name, value)]
        return arguments

    def _check_times(self) -> None:
        if self.loop == OPEN:
            if self.stages is not None and (self.rate is not None or self.duration is not None):
                raise OptionError(
                    "--stages: holds rates and durations; leave --rate, --duration out"
                )
            if self.stages is None and (self.rate is None or self.duration is None):
                raise OptionError("--rate and --duration are required, or --stages")
            if self.profile.expected > MAX_REQUESTS:
                raise OptionError(
                    f"--rate, --duration: more than {MAX_REQUESTS:,} requests in one run;"
                    " make the rate or the duration smaller"
                )
            return
        if self.rate is not None or self.stages is not None:
            raise OptionError(
                f"--rate, --stages: have no meaning with --arrivals {self.arrivals}; leave them out"
            )
        if self.loop == REPLAY and self.trace is None:
            raise OptionError("--arrivals replay: needs --trace FILE")
        if self.loop == CLOSED and self.concurrency is None:
            raise OptionError("--arrivals closed: needs --concurrency N")
        if self.loop == CLOSED and self.duration is None and self.requests is None:
            raise OptionError("--arrivals closed: needs --duration, --requests or both")

    def _check_content(self) -> None:
        given = [
            _option(name)
            for name in ("prompt", "dataset", "prompt_tokens", "trace")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise OptionError(f"{given[1]}: not allowed with {given[0]}; both say what is asked")
        if self.output_tokens is not None and self.trace is not None:
            raise OptionError("--output-tokens: not allowed with --trace, which holds them")
        synthetic = self.prompt is None and self.dataset is None and self.trace is None
        if self.prefix_tokens and not synthetic:
            raise OptionError(f"--prefix-tokens: is for synthetic prompts; leave {given[0]} out")
        if self.turns.constant != 1 and (self.prompt is not None or self.trace is not None):
            raise OptionError(f"--turns: not allowed with {given[0]}, which has one turn each")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``llm-benchmark run`` was asked to do.

    Attributes:
        url: Base URL of the server; the provider appends its path.
        provider: Name of the API.
        api: ``chat`` or ``completions``, where the provider has both.
        model: The model's name as the server knows it.
        stream: Whether answers come token by token.
        body: Fields for every request's body; None takes one out.
        load: What is asked and when.
        schedule: Schedule file that the load was read from; None: computed.
        workers: Processes.
        shard: Which part of the schedule to send: index and number of parts.
        start_at: Instant from which the schedule counts, UTC epoch ns; None: soon.
        transport: ``aiohttp`` or ``raw``.
        timeout: Time after which one request is given up, ns.
        grace: How long an interrupted run waits for outstanding requests, ns.
        warmup: Time at the start that is left out of the figures, ns.
        cooldown: Time at the end that is left out of the figures, ns.
        slo: Most milliseconds for ``ttft``, ``itl``, ``tpot`` and ``e2e``, those that matter.
        metrics_port: Where to show Prometheus metrics while the run lasts; None: nowhere.
        ca: File with the certificates to trust; None: the system's.
        insecure: Whether any server is trusted.
        spans: Where to write the client's spans; None for nowhere.
        out: Folder of the results.
    """

    url: str
    provider: str
    api: str
    model: str
    stream: bool
    body: Mapping[str, Any]
    load: LoadOptions
    schedule: Path | None
    workers: int
    shard: tuple[int, int]
    start_at: int | None
    transport: str
    timeout: int
    grace: int
    warmup: int
    cooldown: int
    slo: Mapping[str, float]
    metrics_port: int | None
    ca: Path | None
    insecure: bool
    spans: Path | None
    out: Path

    def check(self) -> None:
        """Check what no single option shows.

        Raises:
            OptionError: Options contradict each other, or files cannot be written.
        """
        self.load.check()
        if self.load.loop == OPEN and self.warmup + self.cooldown >= self.load.profile.duration_ns:
            raise OptionError(
                "--warmup, --cooldown: nothing is left between them; make them shorter"
            )
        if self.load.concurrency is not None and self.load.concurrency < self.workers:
            raise OptionError("--workers: more than --concurrency; some would have nothing to send")
        if self.stream is False and self.slo.keys() & {"ttft", "itl", "tpot"}:
            raise OptionError("--slo: only e2e can be seen with --no-stream")
        check_folder("--out", self.out)
        if self.spans is not None:
            check_folder("--spans", self.spans.parent)
            if self.spans.is_dir():
                raise OptionError(f"--spans {self.spans}: is a folder; give the path of a file")

    def describe(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        load = {name: _plain(name, getattr(self.load, name)) for name in _names(LoadOptions)}
        own = asdict(self) | {
            "schedule": self.schedule and str(self.schedule),
            "start_at": self.start_at and iso(self.start_at),
            "ca": self.ca and str(self.ca),
            "spans": self.spans and str(self.spans),
            "out": str(self.out),
            "shard": list(self.shard),
            "body": dict(self.body),
            "slo": dict(self.slo),
        }
        del own["load"]
        return own | load


def check_folder(option: str, folder: Path) -> None:
    """Check that files can be written into a folder, or into what will be made of it.

    Raises:
        OptionError: They cannot.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise OptionError(f"{option}: {existing} is not a folder; give another path")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OptionError(f"{option}: {existing} cannot be written to; give another path")


def api_key(environment: Mapping[str, str], variable: str) -> str | None:
    """Return the API key of the environment, or None where there is none.

    Raises:
        OptionError: The key cannot be sent in a header. The message does not tell it.
    """
    key = environment.get(variable)
    if key and not (key.isascii() and key.isprintable()):
        raise OptionError(
            f"{variable}: holds characters that no header may carry; set it without line ends"
        )
    return key or None


def _names(options: type[LoadOptions]) -> list[str]:
    return [field.name for field in fields(options)]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(name: str, value: object) -> str:
    """Return the text that an option's value is read from."""
    if name == "stages":
        return ",".join(_stage(stage) for stage in value)  # type: ignore[attr-defined]
    if name in ("duration", "burst_every", "think_time"):
        return show_duration(int(str(value)))
    return repr(value) if isinstance(value, float) else str(value)


def _stage(stage: Stage) -> str:
    rates = f"{stage.start_rate!r}-{stage.end_rate!r}"
    return f"{rates}@{show_duration(stage.duration_ns)}"


def _plain(name: str, value: object) -> object:
    if value is None or (isinstance(value, int | float | str) and name != "duration"):
        return value
    return value / SECOND_NS if isinstance(value, int) else _text(name, value)
