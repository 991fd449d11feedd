"""Events from the transaction to the subscribers, and who relays them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.dispatch import relay_events
from monohull.kernel.events import Envelope, Event, Subscriber
from monohull.kernel.housekeeping import deliver_event, find_event, purge
from monohull.kernel.ids import uuid7
from monohull.kernel.module import Module
from monohull.kernel.origin import current_actor
from monohull.kernel.outbox import outbox_lag, outbox_lag_seconds, publish
from monohull.kernel.queues import GiveUp
from monohull.kernel.relay import LOCK
from monohull.kernel.trace import current_trace, new_trace
from tests.patience import PATIENCE_SECONDS
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import asyncpg

    from monohull.kernel.events import EventRegistry
    from monohull.kernel.home import Connections

INSERT = "insert into monohull.outbox (id, name, version, payload) values ($1, $2, 1, $3::json) returning 1"
HOLDER = (
    "select pid from pg_locks where locktype = 'advisory' and granted and objid = ($1 & 4294967295) "
    "and database = (select oid from pg_database where datname = current_database())"
)

HEARD: list[tuple[str, Envelope]] = []
FAILING: set[str] = set()


class ThingHappened(Event, frozen=True):
    name = "test.thing_happened"

    n: int
    text: str = ""


class OtherHappened(Event, frozen=True):
    name = "other.thing_happened"


def hears(name: str) -> Any:
    async def handle(_: Any, envelope: Envelope) -> None:
        HEARD.append((name, envelope))
        if name in FAILING:
            raise ValueError(f"{name} does not like it")

    return handle


MODULE = Module(
    name="test",
    events=(ThingHappened, OtherHappened),
    subscribers=(
        Subscriber(name="test.first", events=("test.*",), handle=hears("first")),
        Subscriber(
            name="test.second", events=("test.thing_happened", "nothing.else"), handle=hears("second")
        ),
        Subscriber(name="test.all", events=("*",), handle=hears("all")),
    ),
)


@pytest.fixture
async def bench(connections: Connections) -> AsyncIterator[Workbench]:
    HEARD.clear()
    FAILING.clear()
    bench = Workbench(MODULE, connections)
    async with bench.runtime.running():
        yield bench


async def say(bench: Workbench, n: int, **more: Any) -> UUID:
    async with bench.runtime.database.unit_of_work() as session:
        return await publish(session, ThingHappened(n=n), **more)


async def insert(connection: asyncpg.Connection, n: int) -> None:
    await connection.execute(INSERT, uuid7(), "test.thing_happened", f'{{"n":{n}}}')


async def relayed_order(bench: Workbench) -> list[int]:
    rows = await bench.rows(
        "select o.payload->>'n' as n from monohull.jobs j join monohull.outbox o on o.id = j.event_id "
        "where j.arguments->>'subscriber' = 'test.first' order by j.position"
    )
    return [int(row["n"]) for row in rows]


async def test_every_matching_subscriber_hears(bench: Workbench) -> None:
    trace = new_trace("why")
    current_trace.set(trace)
    current_actor.set("user-1")
    async with bench.worker():
        event_id = await say(bench, 7, key="thing-7")
        async with bench.runtime.database.unit_of_work() as session:
            await publish(session, OtherHappened())
        await bench.until(lambda: len(HEARD) == 4)
        await bench.all_done()
    assert sorted(name for name, _ in HEARD) == ["all", "all", "first", "second"]
    (envelope,) = (envelope for name, envelope in HEARD if name == "first")
    assert envelope.id == event_id
    assert (envelope.name, envelope.version, envelope.key) == ("test.thing_happened", 1, "thing-7")
    assert (envelope.actor, envelope.request_id) == ("user-1", "why")
    assert envelope.traceparent is not None
    assert trace.trace_id in envelope.traceparent
    assert envelope.occurred_at.utcoffset() is not None
    assert bench.runtime.events.decode(envelope) == ThingHappened(n=7)


async def test_a_rolled_back_event_never_happened(bench: Workbench) -> None:
    async with bench.worker():
        with pytest.raises(ZeroDivisionError):
            await rolled_back(bench)
        await say(bench, 2)
        await bench.until(lambda: len(HEARD) == 3)
        await bench.all_done()
    assert {bench.runtime.events.decode(envelope) for _, envelope in HEARD} == {ThingHappened(n=2)}


async def rolled_back(bench: Workbench) -> None:
    async with bench.runtime.database.unit_of_work() as session:
        await publish(session, ThingHappened(n=1))
        raise ZeroDivisionError


async def test_a_failing_subscriber_holds_up_nobody(bench: Workbench) -> None:
    FAILING.add("first")
    async with bench.worker():
        event_id = await say(bench, 1)
        await bench.until(lambda: [name for name, _ in HEARD].count("first") == 2)
        assert [name for name, _ in HEARD].count("second") == 1
        FAILING.clear()
        await bench.all_done()
    assert {envelope.id for _, envelope in HEARD} == {event_id}
    assert [name for name, _ in HEARD].count("first") == 3
    assert [name for name, _ in HEARD].count("all") == 1


async def test_text_survives_as_it_is(bench: Workbench) -> None:
    text = 'nul \x00, quote ", \N{SNOWMAN}, ' + "long " * 10_000
    async with bench.worker():
        async with bench.runtime.database.unit_of_work() as session:
            await publish(session, ThingHappened(n=1, text=text))
        await bench.until(lambda: HEARD)
    assert bench.runtime.events.decode(HEARD[0][1]) == ThingHappened(n=1, text=text)


async def relay_all(connection: asyncpg.Connection, events: EventRegistry, count: int) -> None:
    """Relay exactly ``count`` events; transactions of other databases on the server may hold them back."""
    relayed = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (relayed := relayed + await relay_events(connection, events)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert relayed == count


async def test_overlapping_transactions_come_in_the_order_of_their_commits(bench: Workbench) -> None:
    """The one that began first commits last; it holds up nobody, and is not passed over."""
    database, events = bench.runtime.database, bench.runtime.events
    async with database.connection() as slow, database.connection() as quick, database.connection() as relay:
        early = slow.transaction()
        await early.start()
        await insert(slow, 1)
        async with quick.transaction():
            await insert(quick, 2)
        assert await relay_events(relay, events) == 1
        await early.commit()
        await insert(quick, 3)
        assert await relay_events(relay, events) == 2
        assert await relay_events(relay, events) == 0
    assert await relayed_order(bench) == [2, 1, 3]


async def test_order_under_many_writers(bench: Workbench) -> None:
    async def write(writer: int) -> None:
        async with bench.runtime.database.connection() as connection:
            for n in range(20):
                async with connection.transaction():
                    await insert(connection, writer * 100 + n)
                    await asyncio.sleep(0.001 * ((writer + n) % 3))

    async with bench.worker():
        await asyncio.gather(*(write(writer) for writer in range(4)))
        await bench.until_rows("select from monohull.outbox where relayed_at is null", lambda rows: not rows)
    order = await relayed_order(bench)
    assert sorted(order) == [writer * 100 + n for writer in range(4) for n in range(20)]
    for writer in range(4):
        own = [n for n in order if n // 100 == writer]
        assert own == sorted(own)


async def test_events_of_another_cluster_are_relayed(bench: Workbench) -> None:
    """After a dump was restored, old transaction ids may lie in this cluster's future."""
    await say(bench, 1)
    await bench.rows("update monohull.outbox set transaction_id = '999999999999' returning 1")
    async with bench.runtime.database.connection() as connection:
        assert await relay_events(connection, bench.runtime.events) == 1


async def test_relaying_twice_makes_one_delivery(bench: Workbench) -> None:
    await say(bench, 1)
    async with bench.runtime.database.connection() as connection:
        await relay_all(connection, bench.runtime.events, 1)
        await connection.execute("update monohull.outbox set relayed_at = null, sequence = null")
        await relay_all(connection, bench.runtime.events, 1)
    assert len(await bench.rows("select from monohull.jobs")) == 3


async def test_an_event_without_subscribers_is_relayed(connections: Connections) -> None:
    bench = Workbench(Module(name="test", events=(ThingHappened,)), connections)
    async with bench.runtime.running():
        await say(bench, 1)
        async with bench.runtime.database.connection() as connection:
            await relay_all(connection, bench.runtime.events, 1)
        assert await bench.rows("select from monohull.jobs") == []


async def test_one_relay_leads_and_another_takes_over(bench: Workbench) -> None:
    async with bench.worker():
        await bench.until(lambda: bench.names().count("relay.leads") == 1)
        async with bench.worker():
            await asyncio.sleep(2)
            assert bench.names().count("relay.leads") == 1
            (holder,) = await bench.rows(HOLDER, LOCK)
            await bench.rows("select pg_terminate_backend($1)", holder["pid"])
            await bench.until(lambda: bench.names().count("relay.leads") == 2)
            await bench.until(lambda: "relay.stopped" in bench.names())
            await say(bench, 1)
            await bench.until(lambda: len(HEARD) == 3)


async def test_the_lag_is_visible(bench: Workbench) -> None:
    assert await outbox_lag_seconds(bench.runtime.database) == 0.0
    await say(bench, 1)
    await bench.rows("update monohull.outbox set occurred_at = now() - interval '30 seconds' returning 1")
    lag = await outbox_lag(bench.runtime.database)
    assert (lag.events, lag.jobs) == (1, 0)
    assert 29 < lag.oldest_seconds < 60


async def test_an_unknown_event_is_delivered_raw(bench: Workbench) -> None:
    async with bench.worker():
        await bench.rows(INSERT, uuid7(), "future.thing_happened", '{"a" : [1]}')
        await bench.until(lambda: HEARD)
    (found,) = HEARD
    assert found[0] == "all"
    assert bytes(found[1].payload) == b'{"a" : [1]}'
    assert bench.runtime.events.decode(found[1]) is None


async def test_a_forgotten_event_is_given_up(bench: Workbench) -> None:
    with pytest.raises(GiveUp, match="no longer in the outbox"):
        await deliver_event(bench.runtime, event_id=str(uuid7()), subscriber="test.first")


async def test_old_events_are_forgotten_once_delivered(bench: Workbench) -> None:
    async with bench.worker():
        event_id = await say(bench, 1)
        await bench.all_done()
        await bench.until(lambda: len(HEARD) == 3)
    old = "update monohull.{} set {} = now() - interval '8 days' returning 1"
    await bench.rows(old.format("outbox", "relayed_at"))
    await purge(bench.runtime)
    assert await find_event(bench.runtime.database, event_id) is not None
    await bench.rows(old.format("jobs", "done_at"))
    await purge(bench.runtime)
    await purge(bench.runtime)
    assert await find_event(bench.runtime.database, event_id) is None
