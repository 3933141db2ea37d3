"""Everything that is decided before the run: when, what, and under which ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_benchmark import arrivals, prompts
from llm_benchmark.errors import OptionError
from llm_benchmark.providers import PROVIDERS
from llm_benchmark.providers.base import Ask
from llm_benchmark.records import Record
from llm_benchmark.seeding import generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llm_benchmark.options import RunOptions
    from llm_benchmark.prompts import Prompt
    from llm_benchmark.providers.base import Provider

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
ID_BYTES = TRACE_ID_BYTES + SPAN_ID_BYTES


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent.

    Attributes:
        record: What is known of it before sending.
        prompt: Its text.
        body: Its body, which carries the text.
    """

    record: Record
    prompt: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole load of a run.

    Attributes:
        due_ns: When requests are due, ns from the start of the run, ascending; shape (requests,).
        options: The run's options.
        provider: The API to speak.
        prompt: The text of each request.
        ids: Trace and span ids of all requests, ``ID_BYTES`` each.
    """

    due_ns: NDArray[np.int64]
    options: RunOptions
    provider: Provider
    prompt: Prompt
    ids: bytes

    def request(self, index: int, start_ns: int) -> Request:
        """Return one request.

        Args:
            index: Its place in the schedule.
            start_ns: The start of the run, UTC epoch ns.
        """
        options = self.options
        own = self.ids[index * ID_BYTES : (index + 1) * ID_BYTES]
        record = Record(
            id=index,
            provider=options.provider,
            model=options.model,
            stream=options.stream,
            trace_id=own[:TRACE_ID_BYTES].hex(),
            span_id=own[TRACE_ID_BYTES:].hex(),
            intended_ns=start_ns + int(self.due_ns[index]),
        )
        prompt = self.prompt(index)
        ask = Ask(
            model=options.model,
            prompt=prompt,
            output_tokens=options.output_tokens,
            stream=options.stream,
        )
        return Request(record, prompt, self.provider.body(ask))


def make_plan(options: RunOptions) -> Plan:
    """Return the plan that the options describe; the same options give the same plan.

    Raises:
        OptionError: The options plan no request, or a prompt file cannot be used.
    """
    due_ns = arrivals.schedule(options.arrivals, options.rate, options.duration_ns, options.seed)
    if not len(due_ns):
        raise OptionError(
            "--rate, --duration: no request falls into the run; make the rate or the duration"
            " larger, or draw another --seed"
        )
    if options.prompt is None:
        prompt = prompts.synthetic(options.prompt_tokens, options.seed)
    else:
        prompt = prompts.literal(options.prompt)
    ids = generator(options.seed, "traces").bytes(len(due_ns) * ID_BYTES)
    return Plan(due_ns, options, PROVIDERS[options.provider], prompt, ids)
