from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm_benchmark.sse import EventParser

LINE = st.binary(max_size=12).filter(lambda line: not {*b"\r\n"} & {*line})
END = st.sampled_from([b"\n", b"\r\n", b"\r"])
NOISE = st.sampled_from([b": ping", b":", b"event: message", b"id: 3", b"retry: 10", b"dat: x"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Return the bytes of a stream and the data of its events."""
    end = draw(END)
    body = b""
    events = draw(st.lists(st.lists(LINE, min_size=1, max_size=3), max_size=6))
    for event in events:
        for noise in draw(st.lists(NOISE, max_size=2)):
            body += noise + end
        for line in event:
            space = draw(st.sampled_from([b" ", b""])) if line[:1] != b" " else b" "
            body += b"data:" + space + line + end
        body += end * draw(st.integers(1, 2))
    return body, [b"\n".join(event) for event in events]


@given(stream=streams(), data=st.data())
def test_events_do_not_depend_on_how_the_bytes_are_split(
    stream: tuple[bytes, list[bytes]], data: st.DataObject
) -> None:
    body, events = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    parser = EventParser()
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        found += parser.feed(body[start:end])
    assert found == events
    assert parser.rest() == b""


@given(stream=streams())
def test_events_arrive_byte_by_byte(stream: tuple[bytes, list[bytes]]) -> None:
    body, events = stream
    parser = EventParser()
    assert [event for byte in body for event in parser.feed(bytes([byte]))] == events


def test_an_event_is_handed_on_with_the_byte_that_ends_it() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n\r") == [b"a"]
    assert parser.feed(b"\ndata: b\n\n") == [b"b"]


def test_an_unfinished_event_is_kept_apart() -> None:
    parser = EventParser()
    assert parser.feed(b"data: whole\n\ndata: [DO") == [b"whole"]
    assert parser.feed(b"NE]") == []
    assert parser.rest() == b"[DONE]"
