"""Everything that is decided before the run: when, what, and under which ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_benchmark import arrivals, prompts
from llm_benchmark.clock import SECOND_NS
from llm_benchmark.datasets import read_dataset
from llm_benchmark.distributions import constant
from llm_benchmark.errors import OptionError
from llm_benchmark.options import CLOSED
from llm_benchmark.providers import make_provider
from llm_benchmark.providers.base import Ask, Message
from llm_benchmark.records import Record
from llm_benchmark.seeding import generator
from llm_benchmark.tokenizers import load_tokenizer
from llm_benchmark.traces import read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from llm_benchmark.options import LoadOptions, RunOptions
    from llm_benchmark.prompts import Content, Turn
    from llm_benchmark.providers.base import Provider
    from llm_benchmark.tokenizers import Tokenizer

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
ID_BYTES = TRACE_ID_BYTES + SPAN_ID_BYTES
ID_BLOCK = 256
DEFAULT_PROMPT_TOKENS = constant(64)
DEFAULT_OUTPUT_TOKENS = constant(32)
# What a run without an end of its own is taken to last, for those who need a number.
ENDLESS_NS = 10_000 * 24 * 3600 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Shard:
    """Every ``step``-th request of the schedule, from ``first`` on."""

    first: int
    step: int


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked and when, worked out.

    Attributes:
        due_ns: When conversations begin, ns from the start of the run, ascending; shape
            (conversations,). None in a closed loop.
        content: What is asked.
        count: Number of conversations; None: no end.
        duration_ns: When sending ends, ns from the start of the run.
        tokenizer: What a token is.
        note: What the reader of the summary should know of the trace; empty: nothing.
    """

    due_ns: NDArray[np.int64] | None
    content: Content
    count: int | None
    duration_ns: int
    tokenizer: Tokenizer
    note: str = ""


@dataclass(slots=True)
class Request:
    """One request, ready to be sent.

    Attributes:
        record: What is known of it before sending.
        body: Its body.
        prompt: The text that the body carries.
        conversation: All turns of its conversation.
        messages: What has been said so far, this request's text included.
    """

    record: Record
    body: bytes
    prompt: str
    conversation: tuple[Turn, ...]
    messages: tuple[Message, ...]

    @property
    def has_next(self) -> bool:
        """Whether another turn follows."""
        return self.record.turn + 1 < len(self.conversation)


class Plan:
    """The requests of a run.

    Args:
        options: The run's options.
        load: What is asked and when.
    """

    def __init__(self, options: RunOptions, load: Load) -> None:
        self.options = options
        self.load = load
        self.provider: Provider = make_provider(options.provider, options.api)
        self.path = self.provider.path(options.model, stream=options.stream)

    def indices(self, shard: Shard) -> Iterator[int]:
        """Give the shard's conversations in order; in a closed loop perhaps without end."""
        index = shard.first
        while self.load.count is None or index < self.load.count:
            yield index
            index += shard.step

    def opening(self, index: int, intended_ns: int, worker: int) -> Request:
        """Return the first request of a conversation.

        Args:
            index: Its place in the schedule.
            intended_ns: When it is due, UTC epoch ns.
            worker: Who sends it.
        """
        conversation = self.load.content(index)
        return self._request(index, 0, conversation, (), intended_ns, worker)

    def following(self, before: Request, answer: str, intended_ns: int) -> Request:
        """Return the next request of a conversation, given the answer to the one before."""
        said = (*before.messages, Message("assistant", answer))
        record = before.record
        return self._request(
            record.id, record.turn + 1, before.conversation, said, intended_ns, record.worker
        )

    def _request(
        self,
        index: int,
        turn: int,
        conversation: tuple[Turn, ...],
        said: tuple[Message, ...],
        intended_ns: int,
        worker: int,
    ) -> Request:
        options = self.options
        text, prompt_tokens, output_tokens = conversation[turn]
        trace_id, span_id = ids(options.load.seed, index, turn)
        record = Record(
            id=index,
            turn=turn,
            worker=worker,
            provider=options.provider,
            model=options.model,
            stream=options.stream,
            trace_id=trace_id,
            span_id=span_id,
            intended_ns=intended_ns,
            prompt_tokens_asked=prompt_tokens,
            output_tokens_asked=output_tokens,
        )
        ask = Ask(
            model=options.model,
            messages=(*said, Message("user", text)),
            output_tokens=output_tokens,
            stream=options.stream,
            extra=options.body,
        )
        return Request(record, self.provider.body(ask), ask.prompt, conversation, ask.messages)


def ids(seed: int, index: int, turn: int) -> tuple[str, str]:
    """Return trace and span id of a request, in hexadecimal digits."""
    block = _id_block(seed, turn, index // ID_BLOCK)
    start = index % ID_BLOCK * ID_BYTES
    own = block[start : start + ID_BYTES].hex()
    return own[: 2 * TRACE_ID_BYTES], own[2 * TRACE_ID_BYTES :]


@lru_cache(8)
def _id_block(seed: int, turn: int, number: int) -> bytes:
    return generator(seed, f"traces of turn {turn}", number).bytes(ID_BLOCK * ID_BYTES)


def make_load(options: LoadOptions) -> Load:
    """Return the load that the options describe; the same options give the same load.

    Raises:
        OptionError: The options plan no request, or a file cannot be used.
    """
    tokenizer = load_tokenizer(options.tokenizer)
    if options.trace is not None:
        load = _replayed(options, tokenizer)
    elif options.loop == CLOSED:
        duration_ns = ENDLESS_NS if options.duration is None else options.duration
        load = Load(None, _content(options, tokenizer), None, duration_ns, tokenizer)
    else:
        load = _scheduled(options, tokenizer)
    if options.requests is not None:
        count = options.requests if load.count is None else min(options.requests, load.count)
        load = replace(load, count=count)
    return load


def _scheduled(options: LoadOptions, tokenizer: Tokenizer) -> Load:
    profile = options.profile
    due_ns = arrivals.schedule(
        options.arrivals,
        profile,
        options.seed,
        burstiness=options.burstiness or 1.0,
        burst_every_ns=options.burst_every or SECOND_NS,
    )
    if not len(due_ns):
        raise OptionError(
            "--rate, --duration: no request falls into the run; make the rate or the duration"
            " larger, or draw another --seed"
        )
    content = _content(options, tokenizer)
    return Load(due_ns, content, len(due_ns), profile.duration_ns, tokenizer)


def _replayed(options: LoadOptions, tokenizer: Tokenizer) -> Load:
    assert options.trace is not None  # noqa: S101
    trace = read_trace(options.trace, speed=options.speed or 1.0, duration_ns=options.duration)
    content = prompts.of_lengths(
        tokenizer, trace.prompt_tokens, trace.output_tokens, options.seed, trace.hash_ids
    )
    end_ns = options.duration or int(trace.due_ns[-1]) + 1
    note = f"{trace.left_out} rows of the trace have no tokens" if trace.left_out else ""
    return Load(trace.due_ns, content, len(trace.due_ns), end_ns, tokenizer, note)


def _content(options: LoadOptions, tokenizer: Tokenizer) -> Content:
    outputs = options.output_tokens
    if options.dataset is not None:
        dialogues = read_dataset(options.dataset)
        return prompts.from_dialogues(dialogues, tokenizer, outputs, options.turns, options.seed)
    outputs = outputs or DEFAULT_OUTPUT_TOKENS
    if options.prompt is not None:
        return prompts.literal(options.prompt, tokenizer, outputs, options.seed)
    return prompts.synthetic(
        tokenizer,
        options.prompt_tokens or DEFAULT_PROMPT_TOKENS,
        outputs,
        options.turns,
        options.seed,
        prefix_tokens=options.prefix_tokens,
        prefix_groups=options.prefix_groups,
    )
