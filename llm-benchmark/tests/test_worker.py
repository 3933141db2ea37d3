from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from llm_benchmark.client import make_target
from llm_benchmark.clock import Clock
from llm_benchmark.plan import Plan, Shard, make_load
from llm_benchmark.schedules import load_of
from llm_benchmark.worker import Worker
from llm_benchmark.worker_process import make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from llm_benchmark.options import RunOptions
    from llm_benchmark.records import Record
    from llm_benchmark.stub_server import Stub

    StartStub = Callable[..., Awaitable[Stub]]
    MakeOptions = Callable[..., RunOptions]

MS = 1_000_000
WHOLE = Shard(0, 1)


@asynccontextmanager
async def working(
    options: RunOptions, records: list[Record], shard: Shard = WHOLE
) -> AsyncIterator[Worker]:
    clock = Clock.start()
    plan = Plan(options, load_of(options))
    target = make_target(options.url, plan.path, {}, options.timeout, None)
    transport = make_transport(options.transport, target)
    yield Worker(
        plan,
        shard,
        7,
        transport,
        clock,
        start_ns=clock.now(),
        slots=options.load.concurrency or 0,
        secret=None,
        on_record=records.append,
    )
    await transport.close()


async def send_all(options: RunOptions, shard: Shard = WHOLE) -> list[Record]:
    records: list[Record] = []
    async with working(options, records, shard) as worker:
        await worker.run()
    assert worker.sent == len(records)
    return sorted(records, key=lambda record: (record.id, record.turn))


async def test_requests_are_sent_when_due_while_all_before_them_are_outstanding(
    start_stub: StartStub, make_options: MakeOptions, transport: str
) -> None:
    stub = await start_stub(ttft_s=1.0)
    records = await send_all(make_options(url=stub.url, transport=transport))
    assert len(records) == 20
    assert {(record.error_class, record.worker) for record in records} == {("", 7)}
    last_sent = max(record.sent_ns or 0 for record in records)
    assert last_sent < min(record.first_token_ns or 0 for record in records)


async def test_intended_instants_are_the_schedule_and_nothing_is_sent_early(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    records = await send_all(make_options(url=stub.url))
    start = records[0].intended_ns
    assert [record.intended_ns - start for record in records] == [10 * MS * i for i in range(20)]
    assert all((record.sent_ns or 0) >= record.intended_ns for record in records)


async def test_what_was_asked_is_in_the_records_and_on_the_wire(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    load = "--rate 100 --duration 100ms --output-tokens 3"
    records = await send_all(make_options(load, url=stub.url))
    assert {(one.prompt_tokens_asked, one.output_tokens_asked) for one in records} == {(8, 3)}
    assert {(one.prompt_tokens, one.output_tokens) for one in records} == {(8, 3)}
    assert {exchange.body["max_tokens"] for exchange in stub.exchanges} == {3}
    assert {one.trace_id for one in records} == {
        exchange.traceparent.split("-")[1] for exchange in stub.exchanges
    }


async def test_a_late_client_catches_up_and_still_reads(
    start_stub: StartStub, make_options: MakeOptions, transport: str
) -> None:
    stub = await start_stub()
    options = make_options("--rate 1000000 --duration 1ms", url=stub.url, transport=transport)
    records = await send_all(options)
    assert len(records) == 1000
    assert {record.error_class for record in records} == {""}


async def test_shards_add_up_to_the_whole_schedule(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    load = "--arrivals poisson --rate 200 --duration 300ms --turns uniform:min=1,max=2 --seed 5"
    options = make_options(load, url=stub.url)

    def told(records: list[Record], start: int) -> list[tuple[object, ...]]:
        return [
            (one.id, one.intended_ns - start, one.trace_id, one.span_id, one.prompt_tokens)
            for one in records
            if one.turn == 0
        ]

    due = {index: int(at) for index, at in enumerate(make_load(options.load).due_ns)}  # type: ignore[arg-type]
    whole = await send_all(options)
    parts = [await send_all(options, Shard(first, 3)) for first in range(3)]
    starts = [part[0].intended_ns - due[part[0].id] for part in (whole, *parts)]
    sharded = [
        one for part, start in zip(parts, starts[1:], strict=True) for one in told(part, start)
    ]
    assert sorted(sharded) == told(whole, starts[0])
    for first, part in enumerate(parts):
        assert {one.id % 3 for one in part} == {first}


async def test_a_closed_loop_keeps_its_number_in_flight(
    start_stub: StartStub, make_options: MakeOptions, transport: str
) -> None:
    stub = await start_stub(ttft_s=0.02)
    load = "--arrivals closed --concurrency 5 --requests 40"
    records: list[Record] = []
    async with working(make_options(load, url=stub.url, transport=transport), records) as worker:
        await worker.run()
    assert sorted(record.id for record in records) == list(range(40))
    assert worker.peak_in_flight == 5
    assert len({exchange.peer for exchange in stub.exchanges}) == 5
    ends = {record.end_ns for record in records}
    assert all(record.intended_ns in ends for record in records if record.id >= 5)


async def test_a_closed_loop_ends_with_its_duration(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub(ttft_s=0.01)
    load = "--arrivals closed --concurrency 2 --duration 200ms"
    records = await send_all(make_options(load, url=stub.url))
    first = min(record.intended_ns for record in records)
    assert len(records) > 4
    assert all(record.intended_ns - first < 200 * MS for record in records)


async def test_a_conversation_sends_all_that_was_said_before(
    start_stub: StartStub, make_options: MakeOptions, transport: str
) -> None:
    stub = await start_stub()
    load = "--rate 10 --duration 1s --requests 2 --turns 3 --think-time 20ms --output-tokens 2"
    records = await send_all(make_options(load, url=stub.url, transport=transport))
    assert [(one.id, one.turn) for one in records] == [
        (i, turn) for i in range(2) for turn in range(3)
    ]
    assert [one.prompt_tokens for one in records[:3]] == [8, 8 + 2 + 8, 2 * (8 + 2) + 8]
    for before, after in pairwise(records[:3]):
        assert after.intended_ns == (before.end_ns or 0) + 20 * MS
    last = next(
        one for one in stub.exchanges if one.traceparent.split("-")[1] == records[2].trace_id
    )
    roles = [message["role"] for message in last.body["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    assert last.body["messages"][1]["content"] == "word0 word1 "


async def test_a_conversation_ends_with_a_failure_and_with_the_run(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    load = "--rate 10 --duration 300ms --turns 4"
    for changes in ({"model": "stub:truncated"}, {}):
        think = "" if changes else " --think-time 1m"
        records: list[Record] = []
        options = make_options(load + think, url=stub.url, **changes)
        async with working(options, records) as worker:
            await worker.run()
        assert [record.turn for record in records] == [0, 0, 0]
        assert worker.unsent_turns == 9


async def test_bursts_are_sent_together(start_stub: StartStub, make_options: MakeOptions) -> None:
    stub = await start_stub(ttft_s=0.05)
    load = "--arrivals burst --rate 200 --burst-every 200ms --duration 400ms"
    records = await send_all(make_options(load, url=stub.url))
    assert len({record.intended_ns for record in records}) == 2
    assert len(records) == 80


@pytest.mark.parametrize(
    "load", ["--rate 20 --duration 60s", "--arrivals closed --concurrency 4 --duration 60s"]
)
async def test_a_stopped_run_lets_the_grace_pass_and_cancels_the_rest(
    start_stub: StartStub, make_options: MakeOptions, transport: str, load: str
) -> None:
    stub = await start_stub(mode="stall")
    records: list[Record] = []
    options = make_options(load, url=stub.url, transport=transport)
    async with working(options, records) as worker:
        asyncio.get_running_loop().call_later(0.2, worker.stop, 100 * MS)
        await worker.run()
    assert 0 < len(records) == worker.sent < 1200
    assert {record.error_class for record in records} == {"cancelled"}


async def test_a_stopped_run_keeps_what_ends_within_the_grace(
    start_stub: StartStub, make_options: MakeOptions, transport: str
) -> None:
    stub = await start_stub(ttft_s=0.3)
    records: list[Record] = []
    options = make_options("--rate 20 --duration 60s", url=stub.url, transport=transport)
    async with working(options, records) as worker:
        asyncio.get_running_loop().call_later(0.1, worker.stop, 10**10)
        await worker.run()
    assert {record.error_class for record in records} == {""}


def test_the_same_options_give_the_same_plan(make_options: MakeOptions) -> None:
    load = "--arrivals poisson --rate 100 --duration 1s --seed 4"
    plans = [Plan(options, make_load(options.load)) for options in [make_options(load)] * 2]
    one, other = (plan.opening(3, 0, 0) for plan in plans)
    assert one == other


def test_trace_and_span_ids_are_distinct_hex(make_options: MakeOptions) -> None:
    options = make_options("--rate 1000 --duration 1s --turns 2")
    plan = Plan(options, make_load(options.load))
    openings = [plan.opening(index, 0, 0) for index in range(1000)]
    records = [one.record for one in openings]
    records += [plan.following(one, "", 0).record for one in openings]
    for ids, length in (("trace_id", 32), ("span_id", 16)):
        values = {getattr(record, ids) for record in records}
        assert len(values) == 2000
        assert {len(value) for value in values} == {length}
        assert all(int(value, 16) for value in values)
