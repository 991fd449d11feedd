"""What a statement did to a watched table, from the trigger's one row to the events that are made of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.dispatch import relay_events, relay_rows
from monohull.kernel.events import EventRegistry, Subscriber
from monohull.kernel.feed import read_feed
from monohull.kernel.outbox import outbox_lag
from monohull.kernel.rows import sync_watches, watch
from monohull.kernel.vigil import (
    BUSY_LOOKS,
    CLOSE_SECONDS,
    IDLE_LOOKS,
    LOCK,
    LONG_LOOK_SECONDS,
    LOOK_SECONDS,
    MUCH,
    Vigil,
)
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from monohull.kernel.events import Envelope
    from tests.workbench import Workbench

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLES: Final = """
    create table public.orders (id int primary key, status text, note text);
    create table public.pairs (name text, n int, extra json, password text, primary key (name, n));
"""
PUBLISH: Final = (
    "insert into monohull.outbox (id, name, version, payload, is_audited) "
    "values (gen_random_uuid(), 'test.{0}', 1, '{{}}', false)"
)
BLOCKED: Final = "select cardinality(pg_blocking_pids($1)) > 0"
CHANGES: Final = "select operation, events from monohull.row_changes order by position"


class Changes:
    """Writes into watched tables, and what is there before and after the relay came."""

    def __init__(self, bench: Workbench, connection: asyncpg.Connection, *, keeps_vigil: bool) -> None:
        self.bench = bench
        self.connection = connection
        self.keeps_vigil = keeps_vigil

    async def watch(self, name: str, watcher: str = "test:1", **options: Any) -> None:
        async with self.bench.runtime.database.unit_of_work() as session:
            await watch(session, watcher=watcher, relation=("public", name), **options)

    async def written(self, *statements: str) -> list[tuple[str, int]]:
        """Return operation and number of rows of each change that is not yet told."""
        for statement in statements:
            await self.connection.execute(statement)
        return [tuple(row) for row in await self.connection.fetch(CHANGES)]

    async def relayed(self) -> list[Envelope]:
        after = await self.connection.fetchval("select sequence from monohull.feed_end")
        events = self.bench.runtime.events
        while (self.keeps_vigil and await relay_rows(self.connection, events)) or await relay_events(
            self.connection, events
        ):
            pass
        assert await self.connection.fetch(CHANGES) == []
        return await read_feed(self.connection, after=after, limit=100_000, max_bytes=1 << 30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tables(shared_connection: asyncpg.Connection) -> None:
    await shared_connection.execute(TABLES)


@pytest_asyncio.fixture(loop_scope="module", params=[False, True], ids=["at rest", "vigil"])
async def changes(
    request: pytest.FixtureRequest, shared_bench: Workbench, empty: asyncpg.Connection, tables: None
) -> AsyncIterator[Changes]:
    """Changes whose relay is at rest, or keeps a vigil and relays rows alone where there is nothing else."""
    del tables
    await empty.execute("truncate orders, pairs, monohull.row_watches")
    assert await sync_watches(shared_bench.runtime.database) == []
    yield Changes(shared_bench, empty, keeps_vigil=request.param)


def record(event: Envelope, side: str = "record") -> Any:
    return json.loads(bytes(event.payload))[side]


async def test_a_statement_writes_one_row_and_the_relay_keeps_the_order(changes: Changes) -> None:
    await changes.watch("orders")
    written = await changes.written(
        "begin",
        PUBLISH.format("first"),
        "insert into orders select n, 'new' from generate_series(1, 700) as n",
        PUBLISH.format("second"),
        "update orders set id = -id where id <= 2",
        "delete from orders where id < 0",
        "update orders set note = 'x' where false",
        "commit",
    )
    assert written == [("INSERT", 700), ("UPDATE", 2), ("DELETE", 2)]
    lag = await outbox_lag(changes.bench.runtime.database)
    assert lag.events == 706
    events = await changes.relayed()
    assert [event.sequence for event in events] == list(range(1, 707))
    assert [event.key for event in events if event.key] == [
        *(f"public.orders:{n}" for n in range(1, 701)),
        *("public.orders:-1", "public.orders:-2") * 2,
    ]
    assert [n for n, event in enumerate(events) if event.name.startswith("test.")] == [0, 701]
    assert len({event.id for event in events}) == 706
    assert len({(event.transaction, event.occurred_at) for event in events}) == 1
    assert [record(event, "old_record")["id"] for event in events[702:]] == [1, 2, -1, -2]


@pytest.mark.parametrize(("wanted", "count"), [("rows.deleted", 1), ("rows.*", 3), ("test.*", 1)])
async def test_subscribers_hear_of_what_they_asked_for(changes: Changes, wanted: str, count: int) -> None:
    async def hear(_: Any, __: Envelope) -> None:
        """Stand for a subscriber."""

    registry = EventRegistry(subscribers=[Subscriber(name="test.some", events=(wanted,), handle=hear)])
    await changes.watch("orders")
    await changes.written("insert into orders values (1), (2)", PUBLISH.format("first"), "delete from orders where id = 1")  # fmt: skip  # noqa: E501
    assert await relay_events(changes.connection, registry) == 4
    assert await relay_events(changes.connection, registry) == 0
    told = await changes.connection.fetch(
        "select o.name from monohull.jobs as j join monohull.outbox as o on o.id = j.event_id "
        "order by j.position"
    )
    assert [row["name"].split(".")[0] for row in told] == [wanted.split(".", maxsplit=1)[0]] * count
    assert await changes.connection.fetchval("select sequence from monohull.feed_end") == 4


@pytest.mark.parametrize("condition", [None, "coalesce(new.id, old.id) <> 1500"], ids=["all", "chosen"])
async def test_a_large_statement_is_written_in_parts(changes: Changes, condition: str | None) -> None:
    await changes.watch("orders", condition=condition)
    await changes.watch("orders", "test:2", columns=("note",), operations=("UPDATE",))
    wanted = [n for n in range(1, 2501) if condition is None or n != 1500]
    written = await changes.written(
        "insert into orders select n, 'new' from generate_series(1, 2500) as n",
        "update orders set status = 'old'",
        "delete from orders",
    )
    assert [(what, events <= 1000) for what, events in written] == [
        (what, True) for what in ("INSERT", "UPDATE", "DELETE") for _ in range(3)
    ]
    events = await changes.relayed()
    assert [event.key for event in events] == [f"public.orders:{n}" for n in wanted] * 3
    assert {event.watchers for event in events} == {("test:1",)}
    told = [record(event, "old_record")["status"] for event in events[len(wanted) :]]
    assert told == ["new"] * len(wanted) + ["old"] * len(wanted)


async def test_large_rows_are_written_in_parts_and_very_large_ones_cut(changes: Changes) -> None:
    await changes.watch("orders")
    await changes.connection.execute("alter table orders alter column note set storage external")
    written = await changes.written(
        "insert into orders select n, 'new', repeat('x', 600000) from generate_series(1, 30) as n",
        "update orders set note = repeat('y', 1100000) where id = 1",
    )
    assert sum(count for _, count in written) == 31
    assert all(count <= 8 for _, count in written)
    *whole, cut = await changes.relayed()
    assert [(record(event)["id"], len(record(event)["note"])) for event in whole] == [
        (n, 600_000) for n in range(1, 31)
    ]
    assert record(cut) == {"id": 1, "status": "new", "note": "[1100002 bytes]"}
    assert len(record(cut, "old_record")["note"]) == 600_000
    assert (cut.key, json.loads(bytes(cut.payload))["is_cut"]) == ("public.orders:1", True)


async def test_the_key_of_a_row_that_is_cut_stays_whole(changes: Changes) -> None:
    await changes.watch("pairs")
    name = "".join(f"{n:x}" for n in range(400))
    await changes.connection.execute(
        "insert into pairs values ($1, 1, to_json(repeat('x', 1100000)), 's3cret')", name
    )
    (event,) = await changes.relayed()
    assert event.key == f"public.pairs:{name},1"
    assert record(event) == {"name": name, "n": 1, "extra": "[1100002 bytes]", "password": "[removed]"}


async def test_json_that_no_text_can_hold_fails_no_writer(changes: Changes) -> None:
    """Neither where all are told, nor where a column decides."""
    await changes.watch("pairs")
    await changes.watch("pairs", "test:2", columns=("n",))
    await changes.written(
        r"""insert into pairs values ('a', 1, '["\ud800", "\u0000", "\u00e9"]'), ('b\u0000', 2, '"\ud83d\ude00"')""",  # noqa: E501
        "update pairs set n = n + 1",
    )
    events = await changes.relayed()
    assert [(record(event)["name"], record(event)["extra"]) for event in events] == [
        ("a", ["�", "�", "é"]),
        ("b\\u0000", "😀"),
    ] * 2


async def test_json_too_deep_for_the_relay_is_told_without_a_key(changes: Changes) -> None:
    """And holds up nothing else."""
    await changes.watch("pairs")
    deep = "[" * 5000 + "]" * 5000
    await changes.connection.execute("insert into pairs values ('a', 1), ('a', 2)")
    await changes.connection.execute("insert into pairs values ('a', 3, $1)", deep)
    await changes.connection.execute("insert into pairs values ('a', 4)")
    await changes.connection.execute("set max_stack_depth = '200kB'")
    try:
        events = await changes.relayed()
    finally:
        await changes.connection.execute("reset max_stack_depth")
    assert [event.key for event in events] == [
        "public.pairs:a,1", "public.pairs:a,2", None, "public.pairs:a,4",
    ]  # fmt: skip
    assert deep.encode() in bytes(events[2].payload)


async def test_nobody_notifies_during_a_vigil(changes: Changes) -> None:
    heard: list[object] = []
    await changes.watch("orders")
    database = changes.bench.runtime.database
    async with database.connection() as relay:
        await relay.add_listener("monohull_outbox", lambda *_: heard.append(1))
        vigil, at = Vigil(relay), monotonic_seconds()
        await changes.written("insert into orders values (1)")
        await relay.execute("select 1")
        assert len(heard) == 1
        for _ in range(BUSY_LOOKS):
            assert not vigil.is_kept
            at += CLOSE_SECONDS / 2
            await vigil.note(found=1, at=at)
        assert (vigil.is_kept, vigil.rest_seconds) == (True, LOOK_SECONDS)
        await vigil.note(found=MUCH, at=at)
        assert vigil.rest_seconds == LONG_LOOK_SECONDS
        await changes.written("insert into orders values (2)", "update orders set note = 'x'")
        await relay.execute("select 1")
        assert len(heard) == 1
        for _ in range(IDLE_LOOKS):
            assert vigil.is_kept
            await vigil.note(found=0, at=at)
        rests = []
        for _ in range(8):
            rests.append(vigil.rest_seconds)
            await vigil.note(found=0, at=at)
        assert rests == [0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0]
        assert not vigil.is_kept
        await changes.written("insert into orders values (3)")
        await relay.execute("select 1")
        assert len(heard) == 2
        held = await changes.connection.fetchval(
            "select count(*) from pg_locks "
            "where locktype = 'advisory' and (classid::bigint << 32 | objid::bigint) = $1 "
            "and database = (select oid from pg_database where datname = current_database())",
            LOCK,
        )
        assert held == 0


async def test_looks_that_find_something_now_and_then_begin_no_vigil(changes: Changes) -> None:
    async with changes.bench.runtime.database.connection() as relay:
        vigil, at = Vigil(relay), 0.0
        for _ in range(3 * BUSY_LOOKS):
            at += CLOSE_SECONDS * 2
            await vigil.note(found=1, at=at)
        assert not vigil.is_kept


async def hear(_: Any, __: Envelope) -> None:
    """Stand for a subscriber."""


async def test_rows_are_relayed_alone_only_where_nothing_else_waits(changes: Changes) -> None:
    nobody, connection = EventRegistry(), changes.connection
    heard = EventRegistry(subscribers=[Subscriber(name="test.r", events=("rows.deleted",), handle=hear)])
    other = EventRegistry(subscribers=[Subscriber(name="test.o", events=("test.*",), handle=hear)])
    await changes.watch("orders")
    assert await relay_rows(connection, nobody) == 0
    await changes.written("insert into orders values (1)", "insert into orders values (2), (3)")
    assert await relay_rows(connection, heard) == 0
    assert await relay_rows(connection, other) == 3
    await changes.written(PUBLISH.format("first"), "insert into orders values (4)")
    assert await relay_rows(connection, other) == 0
    assert await relay_events(connection, other) == 2
    assert await connection.fetchval("select count(*) from monohull.jobs") == 1
    await changes.written("insert into orders select n from generate_series(11, 20) as n")
    assert await relay_rows(connection, other) == 10
    events = await read_feed(connection, after=0)
    assert [event.sequence for event in events] == list(range(1, 16))
    assert [event.key for event in events if event.key] == [
        f"public.orders:{n}" for n in (1, 2, 3, 4, *range(11, 21))
    ]
    assert await connection.fetchval("select sequence from monohull.feed_end") == 15


async def test_two_that_relay_rows_at_once_number_each_event_once(changes: Changes) -> None:
    """One may go on whose connection, and lock, the server has not yet given up."""
    nobody, connection = EventRegistry(), changes.connection
    await changes.watch("orders")
    async with changes.bench.runtime.database.connection() as late:
        await changes.written("insert into orders values (1), (2)", "insert into orders values (3)")
        await connection.execute("begin")
        await connection.execute("select sequence from monohull.feed_end for update")
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as both:
            # it has its numbers, and waits for the row with the end
            waiting = both.create_task(relay_rows(late, nobody))
            while not await connection.fetchval(BLOCKED, late.get_server_pid()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert await connection.fetchval("select count(*) from monohull.outbox") == 0
            await connection.execute("rollback")
        assert waiting.result() == 3
        await changes.written("insert into orders values (4)")
        await connection.execute("begin")
        await connection.execute("insert into orders values (5)")
        await connection.execute(
            "insert into monohull.outbox (id, name, version, payload, sequence, relayed_at) "
            "values (gen_random_uuid(), 'test.other', 1, '{}', 4, now())"
        )
        await connection.execute("update monohull.feed_end set sequence = 4")
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as both:
            waiting = both.create_task(relay_rows(late, nobody))
            while not await connection.fetchval(BLOCKED, late.get_server_pid()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await connection.execute("commit")
        assert waiting.result() == 0
        assert await relay_rows(late, nobody) == 2
        events = await read_feed(late, after=0)
    assert [event.sequence for event in events] == list(range(1, 7))
    assert [event.key for event in events if event.key] == [f"public.orders:{n}" for n in (1, 2, 3, 4, 5)]


async def test_a_notification_of_rows_says_for_whom_they_are(changes: Changes) -> None:
    heard: list[object] = []
    await changes.watch("orders", "webhooks:a", operations=("INSERT",))
    await changes.watch("orders", "streams:b", condition="new.id > 1", operations=("INSERT",))
    await changes.watch("pairs", "other:c")
    async with changes.bench.runtime.database.connection() as reader:
        await reader.add_listener("monohull_feed", lambda *said: heard.append(said[-1]))
        for statements in (
            ("insert into orders values (1)",),
            ("insert into orders values (2), (3)", "insert into orders values (4)"),
            ("insert into orders values (5)", "insert into pairs values ('a', 1)"),
            ("insert into pairs values ('b', 1)", PUBLISH.format("first")),
        ):
            await changes.written(*statements)
            await changes.relayed()
            await reader.execute("select 1")
    assert heard == (
        ["webhooks", "streams,webhooks", "other,streams,webhooks", ""] if changes.keeps_vigil else [""] * 4
    )


@pytest.mark.parametrize(
    ("claims", "actor"),
    [
        ("", None),
        ('{"role": "anon"}', None),
        ('{"role": "authenticated", "sub": "somebody"}', "somebody"),
        (r'{"role": "authenticated", "s\u0075b": "somebody"}', "somebody"),
    ],
    ids=["none", "nobody", "somebody", "escaped"],
)
async def test_who_wrote_is_told_of_few_rows_and_of_many(
    changes: Changes, claims: str, actor: str | None
) -> None:
    await changes.watch("orders")
    await changes.connection.execute("select set_config('request.jwt.claims', $1, false)", claims)
    try:
        await changes.written(
            "insert into orders values (1)",
            "insert into orders select n from generate_series(2, 1500) as n",
            "update orders set note = 'x' where id = 1",
        )
    finally:
        await changes.connection.execute("reset request.jwt.claims")
    events = await changes.relayed()
    assert len(events) == 1501
    assert {event.actor for event in events} == {actor}


async def test_values_that_are_large_together_are_whole_and_large_ones_cut(changes: Changes) -> None:
    """Also where a secret column makes the row large, and where text looks as if it had been escaped."""
    await changes.watch("orders")
    await changes.watch("pairs")
    await changes.connection.execute(
        "insert into orders "
        "values (1, 'a', repeat('x', 700000)), (2, 'b', repeat('y', 700000)), (3, 'c', $1)",
        "\\u0000\x01",
    )
    await changes.connection.execute(
        "insert into orders values (4, 'd', 'short'), (5, 'e', repeat('z', 1100000))"
    )
    await changes.connection.execute("insert into pairs values ('a', 1, '[1]', repeat('p', 1100000))")
    events = await changes.relayed()
    told = [record(event) for event in events]
    assert [len(row["note"]) for row in told[:2]] == [700_000] * 2
    assert [row["note"] for row in told[2:5]] == ["\\u0000\x01", "short", "[1100002 bytes]"]
    assert told[5] == {"name": "a", "n": 1, "extra": [1], "password": "[removed]"}
    assert [json.loads(bytes(event.payload)).get("is_cut") for event in events] == [None] * 4 + [True, True]
