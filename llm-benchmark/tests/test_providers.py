from __future__ import annotations

import json

import pytest

from llm_benchmark.errors import AnswerError
from llm_benchmark.providers import PROVIDERS
from llm_benchmark.providers.base import Ask, Event, Usage

ASK = Ask(model="m", prompt="hello", output_tokens=9, stream=True)
COMMON = {
    "model": "m",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 9,
    "stream": True,
    "stream_options": {"include_usage": True},
}


def test_vllm_is_asked_for_exactly_as_many_tokens() -> None:
    body = json.loads(PROVIDERS["vllm"].body(ASK))
    assert body == COMMON | {"min_tokens": 9, "ignore_eos": True}


def test_openai_is_asked_for_nothing_that_only_vllm_knows() -> None:
    assert json.loads(PROVIDERS["openai"].body(ASK)) == COMMON


def test_a_plain_request_has_no_stream_options() -> None:
    plain = Ask(model="m", prompt="hello", output_tokens=9, stream=False)
    body = json.loads(PROVIDERS["openai"].body(plain))
    assert body["stream"] is False
    assert "stream_options" not in body


def test_the_key_is_sent_where_there_is_one() -> None:
    assert PROVIDERS["openai"].headers("k")["Authorization"] == "Bearer k"
    assert "Authorization" not in PROVIDERS["openai"].headers(None)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"[DONE]", Event(done=True)),
        (b'{"choices": [{"delta": {"role": "assistant", "content": ""}}]}', Event()),
        (b'{"choices": [{"delta": {"content": null}}], "usage": null}', Event()),
        (b'{"choices": [{"delta": {"content": "hi"}}]}', Event(text="hi")),
        (b'{"choices": [{"delta": {"reasoning_content": "hm"}}]}', Event(text="hm")),
        (b'{"choices": [{"delta": {}, "finish_reason": "length"}], "error": null}', Event()),
        (
            b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}',
            Event(usage=Usage(3, 5)),
        ),
    ],
)
def test_events_are_read(data: bytes, event: Event) -> None:
    assert PROVIDERS["vllm"].read_event(data) == event


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"oops",
        b"\xff",
        b"null",
        b"3",
        b'"error"',
        b"[]",
        b"{}",
        b'{"choices": null}',
        b'{"choices": [{}]}',
        b'{"choices": [{"delta": null}]}',
        b'{"choices": [{"delta": {"content": 3}}]}',
        b'{"choices": [], "usage": {"prompt_tokens": 3}}',
        b'{"choices": [], "usage": 3}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_malformed(data: bytes) -> None:
    with pytest.raises(AnswerError) as caught:
        PROVIDERS["vllm"].read_event(data)
    assert caught.value.error_class == "malformed"


def test_a_reported_error_is_told_apart() -> None:
    with pytest.raises(AnswerError, match="out of memory") as caught:
        PROVIDERS["vllm"].read_event(b'{"error": {"message": "out of memory"}}')
    assert caught.value.error_class == "error_event"
