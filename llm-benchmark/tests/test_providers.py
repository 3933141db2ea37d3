from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from llm_benchmark import providers
from llm_benchmark.errors import AnswerError, OptionError
from llm_benchmark.providers import BUILT_IN, make_provider, names
from llm_benchmark.providers.base import Ask, Event, Message, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_benchmark.records import Record
    from llm_benchmark.stub_server import Stub

    StartStub = Callable[..., Awaitable[Stub]]
    Send = Callable[..., Awaitable[Record]]

CHAT = {
    "model": "m",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 9,
    "stream": True,
}
USAGE = {"stream_options": {"include_usage": True}}
TENSOR = {"datatype": "BYTES", "shape": [1, 1]}


def ask_for(stream: bool = True, **others: Any) -> Ask:
    messages = others.pop("messages", (Message("user", "hello"),))
    return Ask(model="m", messages=messages, output_tokens=9, stream=stream, **others)


def body_of(provider: str, request: Ask, api: str = "chat") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(make_provider(provider, api).body(request))
    return body


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("vllm", CHAT | USAGE | {"min_tokens": 9, "ignore_eos": True}),
        ("openai", CHAT | USAGE),
        ("anyscale", CHAT | USAGE),
        ("together", CHAT | {"ignore_eos": True}),
        ("fireworks", CHAT | {"min_tokens": 9, "prompt_cache_max_len": 0}),
        ("tgi", {"inputs": "hello", "parameters": {"max_new_tokens": 9, "details": True}}),
        (
            "triton-generate",
            {
                "text_input": "hello",
                "max_tokens": 9,
                "stream": True,
                "bad_words": "",
                "stop_words": "",
            },
        ),
    ],
)
def test_each_provider_is_asked_in_its_own_words(provider: str, body: dict[str, Any]) -> None:
    assert body_of(provider, ask_for()) == body


def test_triton_is_asked_by_named_tensors() -> None:
    inputs = body_of("triton-infer", ask_for(stream=False))["inputs"]
    assert inputs[0] == TENSOR | {"name": "text_input", "data": [["hello"]]}
    assert {one["name"]: one["datatype"] for one in inputs} == {
        "text_input": "BYTES",
        "max_tokens": "UINT32",
        "bad_words": "BYTES",
        "stop_words": "BYTES",
        "temperature": "FP32",
    }


def test_triton_infer_cannot_stream() -> None:
    with pytest.raises(OptionError, match="--no-stream"):
        make_provider("triton-infer", "chat").path("m", stream=True)


def test_completions_send_the_whole_conversation_as_one_prompt() -> None:
    said = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    body = body_of("openai", ask_for(messages=said), "completions")
    assert body["prompt"] == "a\nb\nc"
    assert "messages" not in body


def test_a_plain_request_has_no_stream_options() -> None:
    body = body_of("openai", ask_for(stream=False))
    assert body["stream"] is False
    assert "stream_options" not in body


def test_fields_can_be_added_replaced_and_taken_out() -> None:
    extra = {"temperature": 0, "max_tokens": None, "max_completion_tokens": 9}
    body = body_of("openai", ask_for(extra=extra))
    assert body["temperature"] == 0
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


@pytest.mark.parametrize("provider", sorted(BUILT_IN))
def test_the_key_is_sent_where_there_is_one(provider: str) -> None:
    spoken = make_provider(provider, "chat")
    assert spoken.headers("k")["Authorization"] == "Bearer k"
    assert "Authorization" not in spoken.headers(None)
    assert spoken.key_variable.isupper()


@pytest.mark.parametrize(
    ("provider", "api", "stream"),
    [
        *(
            (name, api, stream)
            for name in ("vllm", "openai", "anyscale", "together", "fireworks")
            for api in ("chat", "completions")
            for stream in (True, False)
        ),
        *(
            (name, "chat", stream)
            for name in ("tgi", "triton-generate")
            for stream in (True, False)
        ),
        ("triton-infer", "chat", False),
    ],
)
async def test_every_provider_counts_every_token(
    start_stub: StartStub, ask: Send, provider: str, api: str, stream: bool
) -> None:
    stub = await start_stub()
    record = await ask(stub.url, provider=provider, api=api, stream=stream, output_tokens=7)
    assert record.error == ""
    assert (record.prompt_tokens, record.output_tokens) == (3, 7)
    assert record.tokens_from == ("counted" if provider.startswith("triton") else "usage")
    assert len(record.itl_ns) == (6 if stream else 0)


@pytest.mark.parametrize("provider", ["vllm", "tgi", "triton-generate"])
@pytest.mark.parametrize("mode", ["error-event", "malformed", "cut", "reset", "empty", "split"])
async def test_every_provider_tells_failures_apart(
    start_stub: StartStub, ask: Send, provider: str, mode: str
) -> None:
    stub = await start_stub(mode=mode)
    expected = {"error-event": "error_event", "cut": "truncated", "split": ""}.get(mode, mode)
    record = await ask(stub.url, provider=provider)
    assert record.error_class == expected


async def test_a_triton_stream_ends_with_its_body(start_stub: StartStub, ask: Send) -> None:
    stub = await start_stub(mode="truncated")
    # One token came: without an end mark a short answer cannot be told from a torn one.
    record = await ask(stub.url, provider="triton-generate")
    assert (record.error_class, record.output_tokens) == ("", 1)


async def test_a_tgi_stream_without_its_last_event_is_truncated(
    start_stub: StartStub, ask: Send
) -> None:
    stub = await start_stub(mode="truncated")
    assert (await ask(stub.url, provider="tgi")).error_class == "truncated"


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
    assert make_provider("vllm", "chat").read_event(data) == event


def test_the_special_token_at_the_end_of_a_tgi_stream_is_no_text() -> None:
    last = {
        "token": {"text": "</s>", "special": True},
        "generated_text": "a b",
        "details": {"generated_tokens": 3, "input_length": 4},
    }
    event = make_provider("tgi", "chat").read_event(json.dumps(last).encode())
    assert event == Event("", Usage(4, 3), done=True)


@pytest.mark.parametrize("provider", ["vllm", "tgi", "triton-generate"])
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
def test_what_is_no_event_is_malformed(provider: str, data: bytes) -> None:
    with pytest.raises(AnswerError) as caught:
        make_provider(provider, "chat").read_event(data)
    assert caught.value.error_class == "malformed"


@pytest.mark.parametrize("provider", ["vllm", "tgi", "triton-generate"])
def test_a_reported_error_is_told_apart(provider: str) -> None:
    with pytest.raises(AnswerError, match="out of memory") as caught:
        make_provider(provider, "chat").read_event(b'{"error": "out of memory"}')
    assert caught.value.error_class == "error_event"


def test_other_packages_can_add_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        names = ("acme",)

        def load(self) -> Any:
            return make_provider_of_acme

    def make_provider_of_acme(api: str) -> Any:
        return BUILT_IN["openai"](api)

    def entry_points(group: str, name: str | None = None) -> Any:
        assert group == "llm_benchmark.providers"
        return [Entry()] if name else Entry()

    monkeypatch.setattr(providers, "entry_points", entry_points)
    assert "acme" in names()
    assert make_provider("acme", "chat").path("m", stream=True) == "/v1/chat/completions"
