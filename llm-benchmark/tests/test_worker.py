from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llm_benchmark.client import Client, open_session
from llm_benchmark.clock import Clock
from llm_benchmark.plan import make_plan
from llm_benchmark.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from conftest import Stub

    from llm_benchmark.options import RunOptions
    from llm_benchmark.records import Record

    StartStub = Callable[..., Awaitable[Stub]]
    MakeOptions = Callable[..., RunOptions]


@asynccontextmanager
async def working(options: RunOptions, news: list[object]) -> AsyncIterator[Worker]:
    clock = Clock.start()
    plan = make_plan(options)
    async with open_session() as session:
        client = Client(
            session,
            base_url=options.url,
            provider=plan.provider,
            api_key=None,
            timeout_ns=options.timeout_ns,
            clock=clock,
        )
        yield Worker(
            plan,
            client,
            clock,
            start_ns=clock.now(),
            on_first=lambda: news.append("first"),
            on_record=news.append,
        )


def records_in(news: list[object]) -> list[Record]:
    return [item for item in news if item != "first"]  # type: ignore[misc]


async def test_requests_are_sent_when_due_while_all_before_them_are_outstanding(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub(ttft_s=1.0)
    news: list[object] = []
    async with working(make_options(url=stub.url), news) as worker:
        await worker.run()
    records = records_in(news)
    assert len(records) == worker.sent == 20
    assert all(not record.error_class for record in records)
    last_sent = max(record.sent_ns or 0 for record in records)
    first_answered = min(record.first_token_ns or 0 for record in records)
    assert last_sent < first_answered


async def test_intended_instants_are_the_schedule(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    news: list[object] = []
    async with working(make_options(url=stub.url), news) as worker:
        await worker.run()
    records = sorted(records_in(news), key=lambda record: record.id)
    start = records[0].intended_ns
    assert [record.intended_ns - start for record in records] == [
        10_000_000 * index for index in range(20)
    ]
    assert all((record.sent_ns or 0) >= record.intended_ns for record in records)


async def test_the_start_is_told_once_and_before_any_answer(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    news: list[object] = []
    async with working(make_options(url=stub.url), news) as worker:
        await worker.run()
    assert news.index("first") == 0
    assert news.count("first") == 1


async def test_a_late_client_still_sends_everything(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub()
    news: list[object] = []
    options = make_options(url=stub.url, rate=1e6, duration_ns=100_000)
    async with working(options, news) as worker:
        await worker.run()
    assert len(records_in(news)) == 100
    assert {record.error_class for record in records_in(news)} == {""}


async def test_a_stopped_run_lets_the_grace_pass_and_cancels_the_rest(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub(mode="stall")
    news: list[object] = []
    options = make_options(url=stub.url, rate=20, duration_ns=60_000_000_000)
    async with working(options, news) as worker:
        loop = asyncio.get_running_loop()
        loop.call_later(0.2, worker.stop, signal.SIGINT, 100_000_000)
        await worker.run()
    assert worker.stopped is not None
    assert worker.stopped.signal == signal.SIGINT
    records = records_in(news)
    assert 0 < len(records) == worker.sent < 1200
    assert {record.error_class for record in records} == {"cancelled"}
    assert all((record.end_ns or 0) > worker.stopped.at_ns for record in records)


async def test_a_stopped_run_keeps_what_ends_within_the_grace(
    start_stub: StartStub, make_options: MakeOptions
) -> None:
    stub = await start_stub(ttft_s=0.3)
    news: list[object] = []
    options = make_options(url=stub.url, rate=20, duration_ns=60_000_000_000)
    async with working(options, news) as worker:
        asyncio.get_running_loop().call_later(0.1, worker.stop, signal.SIGTERM, 10**10)
        await worker.run()
    assert {record.error_class for record in records_in(news)} == {""}


def test_the_same_options_give_the_same_plan(make_options: MakeOptions) -> None:
    one, other = (make_plan(make_options(arrivals="poisson", seed=4)) for _ in range(2))
    assert one.due_ns.tolist() == other.due_ns.tolist()
    assert one.request(3, 0) == other.request(3, 0)


def test_trace_and_span_ids_are_distinct_hex(make_options: MakeOptions) -> None:
    plan = make_plan(make_options())
    records = [plan.request(index, 0).record for index in range(20)]
    assert len({record.trace_id for record in records}) == 20
    assert len({record.span_id for record in records}) == 20
    assert {len(record.trace_id) for record in records} == {32}
    assert {len(record.span_id) for record in records} == {16}
    assert all(int(record.trace_id, 16) and int(record.span_id, 16) for record in records)
