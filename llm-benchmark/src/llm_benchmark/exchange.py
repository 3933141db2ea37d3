"""One request under way: what a transport tells of it, turned into its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_benchmark.errors import AnswerError
from llm_benchmark.sse import EventParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_benchmark.clock import Clock
    from llm_benchmark.providers.base import Event, Provider, Usage
    from llm_benchmark.records import Record

ERROR_TEXT_LIMIT = 500
# Of a refusal's body no more is kept; of an answer everything.
REFUSAL_LIMIT = 64 * 1024


class Exchange:
    """One request and its answer.

    A transport calls ``sending`` when it begins to connect or to write, ``head`` and ``feed`` as
    the answer comes, and at last ``end`` or ``fail``, once. After every call it looks at ``over``:
    an answer that turned out to be bad is not read on, and its connection is not used again.

    Args:
        record: What is known before sending; completed here.
        body: The request body.
        prompt: The text that the body carries.
        provider: The API spoken.
        count: Counts the tokens of a plain answer where the server does not.
        clock: The run's clock.
        on_end: Called once with this object when the record is complete.
        secret: An API key to strike out of error texts.
        keep_text: Whether ``text`` is wanted.
    """

    __slots__ = (
        "_body",
        "_clock",
        "_count",
        "_done",
        "_on_end",
        "_parser",
        "_provider",
        "_secret",
        "_text_events",
        "_texts",
        "_usage",
        "body",
        "over",
        "prompt",
        "record",
    )

    def __init__(
        self,
        record: Record,
        body: bytes,
        prompt: str,
        *,
        provider: Provider,
        count: Callable[[str], int],
        clock: Clock,
        on_end: Callable[[Exchange], None],
        secret: str | None = None,
        keep_text: bool = False,
    ) -> None:
        self.record = record
        self.body = body
        self.prompt = prompt
        self.over = False
        self._provider = provider
        self._count = count
        self._clock = clock
        self._on_end = on_end
        self._secret = secret
        self._texts: list[str] | None = [] if keep_text else None
        self._parser = EventParser()
        self._body: list[bytes] = []
        self._text_events = 0
        self._usage: Usage | None = None
        self._done = False

    @property
    def text(self) -> str:
        """The answer's text, where it was to be kept."""
        return "".join(self._texts or [])

    @property
    def traceparent(self) -> str:
        """The trace context to send: https://www.w3.org/TR/trace-context/."""
        return f"00-{self.record.trace_id}-{self.record.span_id}-01"

    def sending(self) -> None:
        """The transport begins to send, connecting included."""
        self.record.sent_ns = self._clock.now()

    def head(self, status: int, replica: str) -> None:
        """The answer's headers have arrived."""
        record = self.record
        record.first_byte_ns = self._clock.now()
        record.status = status
        record.replica = replica

    def feed(self, data: bytes) -> None:
        """A piece of the answer's body has arrived."""
        if not self.record.stream or self.record.status != 200:
            self._body.append(data)
            return
        now_ns = self._clock.now()
        try:
            for event_data in self._parser.feed(data):
                # What follows the last event is read, for the connection's sake, and not looked at.
                if self._done:
                    return
                self._take(self._provider.read_event(event_data), now_ns)
        except AnswerError as error:
            self.fail(error.error_class, str(error))

    def end(self) -> None:
        """The answer's body is complete."""
        if self.over:
            return
        try:
            self._complete()
        except AnswerError as error:
            self.fail(error.error_class, str(error))
        else:
            self._finish()

    def fail(self, error_class: str, text: str) -> None:
        """The request has failed."""
        if self.over:
            return
        if self._secret:
            text = text.replace(self._secret, "***")
        self.record.error_class = error_class
        self.record.error = text[:ERROR_TEXT_LIMIT]
        self._finish()

    def _take(self, event: Event, now_ns: int) -> None:
        text, usage, done = event
        if text:
            record = self.record
            self._text_events += 1
            last_ns = record.last_token_ns
            if last_ns is None:
                record.first_token_ns = now_ns
            else:
                record.itl_ns.append(now_ns - last_ns)
            record.last_token_ns = now_ns
            if self._texts is not None:
                self._texts.append(text)
        if usage is not None:
            self._usage = usage
        if done:
            self._done = True

    def _complete(self) -> None:
        record = self.record
        if record.status != 200:
            refusal = b"".join(self._body)[:REFUSAL_LIMIT].decode(errors="replace")
            raise AnswerError(f"http_{record.status}", refusal or "an answer without a body")
        if record.stream:
            self._end_stream()
        else:
            self._read_plain(self._provider.read_answer(b"".join(self._body), self.prompt))
        if not self._text_events:
            raise AnswerError("empty", "the answer has no text")
        if not self._done:
            raise AnswerError("truncated", "the stream ended without its end mark")
        if self._usage is None and self._provider.tells_usage:
            raise AnswerError("no_usage", "the answer does not tell its tokens")

    def _read_plain(self, answer: Event) -> None:
        self._usage = answer.usage
        self._text_events = self._count(answer.text) if self._usage is None else bool(answer.text)
        self._done = True
        if self._texts is not None:
            self._texts.append(answer.text)

    def _end_stream(self) -> None:
        """Look at an event without its blank line at the body's end: an end mark, or torn."""
        rest = self._parser.rest()
        if not self._provider.marks_end:
            if rest:
                raise AnswerError("truncated", f"the stream ended inside an event: {rest[:200]!r}")
            self._done = True
        elif rest and not self._done:
            try:
                self._take(self._provider.read_event(rest), self._clock.now())
            except AnswerError:
                self._done = False

    def _finish(self) -> None:
        self.over = True
        record = self.record
        record.end_ns = self._clock.now()
        if self._usage is not None:
            counted, record.output_tokens = self._usage
            record.prompt_tokens = record.prompt_tokens_asked if counted is None else counted
            record.tokens_from = "usage"
        elif self._text_events:
            record.prompt_tokens = record.prompt_tokens_asked
            record.output_tokens = self._text_events
            record.tokens_from = "counted"
        self._on_end(self)
