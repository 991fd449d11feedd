"""Row events: what changes in a watched table becomes an event, whoever writes it and however."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from monohull.kernel.dispatch import relay_events, relay_rows
from monohull.kernel.feed import read_feed
from monohull.kernel.row_refusals import RowsNotWatchable
from monohull.kernel.rows import RowUpdated, sync_watches, unwatch, watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from monohull.kernel.events import Envelope
    from tests.workbench import Workbench

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLES = """
    create table public.orders (id int primary key, status text, total numeric, note text);
    create table public.people (id int primary key, name text, password text, iban text, extra json);
    create table public.invites (token text primary key, n int);
    create table public.loose (n int, m int);
    create table public."Odd ' \\ Na""me" ("A b" int, "c'd" text, primary key ("c'd", "A b"));
    create table public.parted (id int, day date, primary key (id, day)) partition by range (day);
    create table public.parted_a partition of public.parted for values from ('2026-01-01') to ('2026-07-01');
    create table public.parted_b (day date not null, id int not null);
    alter table public.parted attach partition public.parted_b
        for values from ('2026-07-01') to ('2027-01-01');
    create view public.seen as select * from public.orders;
"""
TRIGGERS = (
    "select tgname::text from pg_trigger where tgname like 'monohull_rows%' or tgname = 'monohull_condition'"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tables(shared_connection: asyncpg.Connection) -> None:
    await shared_connection.execute(TABLES)


class Rows:
    """Writes, and what of it becomes events."""

    def __init__(self, bench: Workbench, connection: asyncpg.Connection, *, keeps_vigil: bool) -> None:
        self.bench = bench
        self.connection = connection
        self.relay = relay_rows if keeps_vigil else relay_events

    async def watch(self, name: str, watcher: str = "test:1", **options: Any) -> None:
        async with self.bench.runtime.database.unit_of_work() as session:
            await watch(session, watcher=watcher, relation=("public", name), **options)

    async def unwatch(self, watcher: str = "test:1") -> None:
        async with self.bench.runtime.database.unit_of_work() as session:
            await unwatch(session, watcher=watcher)

    async def sync(self) -> None:
        assert await sync_watches(self.bench.runtime.database) == []

    async def events(self, *statements: str) -> list[Envelope]:
        """Return the events of these statements."""
        for statement in statements:
            await self.connection.execute(statement)
        after = await self.connection.fetchval("select sequence from monohull.feed_end")
        while await self.relay(self.connection, self.bench.runtime.events):
            pass
        return await read_feed(self.connection, after=after, limit=10_000)

    async def told(self, *statements: str) -> list[tuple[str | None, Any, Any]]:
        """Return key, record and old record of each."""
        return [
            (event.key, payload["record"], payload["old_record"])
            for event in await self.events(*statements)
            for payload in [json.loads(bytes(event.payload))]
        ]


@pytest_asyncio.fixture(loop_scope="module", params=[False, True], ids=["at rest", "vigil"])
async def rows(
    request: pytest.FixtureRequest, shared_bench: Workbench, empty: asyncpg.Connection, tables: None
) -> AsyncIterator[Rows]:
    """Rows whose relay is at rest, or keeps a vigil and relays them alone."""
    del tables
    await empty.execute(
        'truncate orders, people, invites, parted, "Odd \' \\ Na""me", monohull.row_watches; '
        "drop table loose; create table loose (n int, m int)"
    )
    rows = Rows(shared_bench, empty, keeps_vigil=request.param)
    await rows.sync()
    yield rows


async def test_each_operation_is_told_as_supabase_does(rows: Rows) -> None:
    await rows.watch("orders")
    inserted, updated, deleted = await rows.events(
        "insert into orders values (1, 'new', 1.50)",
        "update orders set status = 'paid'",
        "delete from orders",
    )
    first = {"id": 1, "status": "new", "total": 1.50, "note": None}
    second = first | {"status": "paid"}
    assert [event.name for event in (inserted, updated, deleted)] == [
        "rows.inserted",
        "rows.updated",
        "rows.deleted",
    ]
    assert {event.key for event in (inserted, updated, deleted)} == {"public.orders:1"}
    assert {event.watchers for event in (inserted, updated, deleted)} == {("test:1",)}
    shape = {"schema": "public", "table": "orders"}
    assert json.loads(bytes(inserted.payload)) == shape | {
        "type": "INSERT",
        "record": first,
        "old_record": None,
    }
    assert json.loads(bytes(deleted.payload)) == shape | {
        "type": "DELETE",
        "record": None,
        "old_record": second,
    }
    assert b'"total":1.50' in bytes(inserted.payload)
    decoded = rows.bench.runtime.events.decode(updated)
    assert isinstance(decoded, RowUpdated)
    assert (decoded.type, decoded.record, decoded.old_record) == ("UPDATE", second, first)
    assert (
        await rows.connection.fetchval("select count(*) from monohull.audit_queue where source = 'event'")
        == 0
    )


async def test_who_changed_it_is_told(rows: Rows) -> None:
    await rows.watch("orders")
    (told, garbage) = await rows.events(
        """begin;
           select set_config('request.jwt.claims', '{"sub":"user-1"}', true);
           select set_config('monohull.origin', '{"request_id":"r-1","traceparent":"t-1"}', true);
           insert into orders values (1); commit""",
        """begin;
           select set_config('request.jwt.claims', '{', true), set_config('monohull.origin', '[', true);
           insert into orders values (2); commit""",
    )
    assert (told.actor, told.request_id, told.traceparent) == ("user-1", "r-1", "t-1")
    assert (garbage.actor, garbage.request_id, garbage.origin) == (None, None, None)


async def test_nothing_is_told_of_what_was_rolled_back_or_not_asked_for(rows: Rows) -> None:
    await rows.watch("orders", operations=("UPDATE",))
    assert (
        await rows.told("begin; insert into orders values (1); update orders set total = 1; rollback") == []
    )
    assert await rows.told("insert into orders values (1)", "delete from orders") == []
    assert await rows.told("update orders set total = 1 where id = 99") == []
    await rows.unwatch()
    assert await rows.told("insert into orders values (1)", "update orders set total = 1") == []
    assert await rows.connection.fetch(TRIGGERS) == []
    assert await rows.connection.fetch(r"select from pg_proc where proname ~ '^row_events_\d'") == []


async def test_whichever_way_rows_are_written(rows: Rows) -> None:
    await rows.watch("orders")
    await rows.connection.copy_records_to_table("orders", records=[(1, "a", 1, ""), (2, "b", 2, "")])
    keys = [key for key, *_ in await rows.told()]
    assert keys == ["public.orders:1", "public.orders:2"]
    told = await rows.told(
        "insert into orders values (2, 'again'), (3, 'c') "
        "on conflict (id) do update set status = excluded.status"
    )
    assert sorted((key, old and old["status"]) for key, _, old in told) == [
        ("public.orders:2", "b"),
        ("public.orders:3", None),
    ]
    told = await rows.told(
        "with gone as (delete from orders where id = 1 returning *) insert into loose select id from gone"
    )
    assert [(key, new) for key, new, _ in told] == [("public.orders:1", None)]


async def test_rows_before_and_after_belong_together(rows: Rows) -> None:
    """Also where every key changes to that of another row."""
    await rows.watch("orders")
    await rows.events("insert into orders select n, 'was ' || n from generate_series(1, 3000) as n")
    told = await rows.told("update orders set id = id - 1 where id <= 2000", "update orders set total = id")
    assert len(told) == 5000
    assert all(new["status"] == old["status"] for _, new, old in told)
    assert all(new["id"] == old["id"] - 1 for _, new, old in told[:2000])


async def test_columns_and_conditions_choose(rows: Rows) -> None:
    await rows.watch("orders", "test:status", columns=("status",))
    await rows.watch(
        "orders", "test:large", condition="new.total > 100 and old.total is distinct from new.total"
    )
    await rows.watch("orders", "test:gone", condition="OLD.total > 100", operations=("DELETE",))
    events = await rows.events(
        "insert into orders values (1, 'a', 5), (2, 'b', 500)",
        "update orders set note = 'x'",
        "update orders set status = 'c', total = total + 100",
        "update orders set status = status",
        "delete from orders",
    )
    assert [(event.name[5:], event.key[-1] if event.key else "", event.watchers) for event in events] == [
        ("inserted", "1", ("test:status",)),
        ("inserted", "2", ("test:large", "test:status")),
        ("updated", "1", ("test:large", "test:status")),
        ("updated", "2", ("test:large", "test:status")),
        ("deleted", "1", ("test:gone", "test:status")),
        ("deleted", "2", ("test:gone", "test:status")),
    ]


async def test_a_comment_in_a_condition_comments_nothing_else_out(rows: Rows) -> None:
    await rows.watch("orders", condition="new.total > 1 -- and new.total < 4")
    assert len(await rows.told("insert into orders values (1, '', 5), (2, '', 1)")) == 1


@pytest.mark.parametrize(
    "condition",
    [
        "new.nothing = 1",
        "new.total",
        "",
        "true); drop table orders; --",
        "true) execute function monohull.no_row_event() --",
        "exists (select from auth.users)",
        "true) or (false",
        "new.total = $1",
    ],
)
async def test_what_is_no_condition_is_refused(rows: Rows, condition: str) -> None:
    with pytest.raises(RowsNotWatchable):
        await rows.watch("orders", condition=condition)
    assert await rows.told("insert into orders values (1, '', 5)") == []
    assert await rows.connection.fetch(TRIGGERS) == []


async def test_secret_columns_are_hidden_as_in_the_audit_log(rows: Rows) -> None:
    await rows.connection.execute("comment on column people.name is '@sensitive'")
    await rows.watch("people")
    ((_, record, _),) = await rows.told(
        """insert into people values (1, 'Ann', 'pw', null, '{"a": "\\u0000", "a": 1.10}')"""
    )
    assert record["name"] == record["password"] == "[removed]"
    assert record["iban"] is None
    assert record["extra"] == {"a": 1.10}
    await rows.watch("invites", "test:2")
    assert await rows.told("insert into invites values ('t', 1)") == [
        (None, {"token": "[removed]", "n": 1}, None)
    ]
    await rows.unwatch("test:2")
    await rows.connection.execute("comment on column people.name is null")
    await rows.sync()
    ((_, record, _),) = await rows.told("update people set id = 2")
    assert record["name"] == "Ann"


async def test_a_row_that_is_too_large_is_cut(rows: Rows) -> None:
    await rows.watch("orders")
    (event,) = await rows.events("insert into orders values (1, 'a', 1, repeat('x', 2000000))")
    payload = json.loads(bytes(event.payload))
    assert payload["is_cut"] is True
    assert payload["record"] == {"id": 1, "status": "a", "total": 1, "note": "[2000002 bytes]"}


async def test_partitions_tell_under_the_name_of_the_whole(rows: Rows) -> None:
    """By either name, whatever the order of their columns, and when a row moves from one to the other."""
    await rows.watch("parted", condition="new.id < 100 or old.id < 100")
    told = await rows.told(
        "insert into parted values (1, '2026-02-01'), (2, '2026-08-01'), (100, '2026-08-01')",
        "insert into parted_b values ('2026-08-02', 3)",
        "create table public.parted_c partition of parted for values from ('2027-01-01') to ('2028-01-01')",
        "insert into parted values (4, '2027-02-01')",
    )
    assert [(key, new["id"], new["day"]) for key, new, _ in told] == [
        ("public.parted:1,2026-02-01", 1, "2026-02-01"),
        ("public.parted:2,2026-08-01", 2, "2026-08-01"),
        ("public.parted:3,2026-08-02", 3, "2026-08-02"),
        ("public.parted:4,2027-02-01", 4, "2027-02-01"),
    ]
    moved = await rows.events("update parted set day = '2026-09-01' where id = 1")
    assert [event.name for event in moved] == ["rows.deleted", "rows.inserted"]
    await rows.unwatch()
    assert await rows.told("insert into parted values (5, '2026-02-01')", "drop table parted_c") == []


async def test_partitions_that_come_and_go(rows: Rows) -> None:
    """Attached later, parted themselves, and detached: what belongs to the whole at that moment is told."""
    await rows.connection.execute(
        "create table public.late (id int not null, day date not null, primary key (id, day))"
    )
    await rows.watch("late", "test:2")
    await rows.watch("parted")
    await rows.connection.execute(
        "alter table parted attach partition late for values from ('2028-01-01') to ('2029-01-01')"
    )
    await rows.sync()  # who watches the part alone hears within a minute of what is written by the other name
    statements = (
        """create table public.parted_d partition of parted
            for values from ('2029-01-01') to ('2030-01-01') partition by range (id)""",
        "create table public.parted_d1 partition of parted_d for values from (0) to (100)",
        "insert into late values (10, '2028-02-01')",
        "insert into parted values (11, '2028-02-01'), (12, '2029-02-01')",
        "insert into parted_d1 values (13, '2029-02-01')",
        "update parted set id = id + 50 where id in (11, 13)",
    )
    by_watcher = {"test:1": [], "test:2": []}  # type: dict[str, list[tuple[str, str | None]]]
    for event in await rows.events(*statements):
        for watcher in event.watchers or ():
            by_watcher[watcher].append((event.name, event.key))
    assert by_watcher["test:1"] == [
        ("rows.inserted", "public.parted:10,2028-02-01"),
        ("rows.inserted", "public.parted:11,2028-02-01"),
        ("rows.inserted", "public.parted:12,2029-02-01"),
        ("rows.inserted", "public.parted:13,2029-02-01"),
        ("rows.updated", "public.parted:61,2028-02-01"),
        ("rows.updated", "public.parted:63,2029-02-01"),
    ]
    assert [name for name, _ in by_watcher["test:2"]] == ["rows.inserted", "rows.inserted", "rows.updated"]
    await rows.sync()
    assert len(await rows.events("insert into parted values (14, '2028-03-01')")) == 2
    events = await rows.events(
        "alter table parted detach partition late", "insert into late values (15, '2028-02-01')"
    )
    assert [event.watchers for event in events] == [("test:2",)]
    await rows.sync()
    assert len(await rows.events("insert into late values (16, '2028-02-01')")) == 1
    await rows.unwatch("test:1")
    await rows.unwatch("test:2")
    await rows.connection.execute("drop table late, parted_d; delete from parted")


@pytest.mark.parametrize("first", ["parted", "parted_b"])
async def test_a_whole_and_its_part_are_watched(rows: Rows, first: str) -> None:
    """Whichever was first; each watcher hears of a row once."""
    for name in (first, "parted_b" if first == "parted" else "parted"):
        await rows.watch(name, f"test:{name}")
    events = await rows.events("insert into parted values (20, '2026-08-01'), (21, '2026-02-01')")
    told = sorted(watcher for event in events for watcher in event.watchers or ())
    assert told == ["test:parted", "test:parted", "test:parted_b"]
    await rows.sync()
    assert len(await rows.events("insert into parted_b values ('2026-08-02', 22)")) == 2
    for name in ("parted", "parted_b"):
        await rows.unwatch(f"test:{name}")
    assert await rows.told("delete from parted") == []


async def test_odd_names_and_no_key(rows: Rows) -> None:
    await rows.watch("Odd ' \\ Na\"me", columns=("c'd",))
    await rows.watch("loose")
    odd, loose = await rows.told(
        """insert into "Odd ' \\ Na""me" values (1, 'x,''\\')""", "insert into loose values (1, 2)"
    )
    assert odd == ("public.Odd ' \\ Na\"me:x,'\\,1", {"A b": 1, "c'd": "x,'\\"}, None)
    assert loose == (None, {"n": 1, "m": 2}, None)


async def test_an_altered_table_fails_no_writer(rows: Rows) -> None:
    """A condition that no longer fits lets everything pass, and the watch says so."""
    await rows.watch("loose", condition="new.m > 10", columns=("m",))
    assert await rows.told("insert into loose values (1, 1)") == []
    ((_, record, _),) = await rows.told(
        "alter table loose drop column m",
        "alter table loose add column k text",
        "insert into loose values (2, 'k')",
    )
    assert record == {"n": 2, "k": "k"}
    await rows.sync()
    problem = await rows.connection.fetchval("select problem from monohull.row_watches")
    assert problem == "column new.m does not exist"
    assert len(await rows.told("insert into loose values (3)")) == 1
    assert len(await rows.told("alter table loose rename to slack", "insert into slack values (4)")) == 1
    await rows.events("alter table slack rename to loose", "alter table loose add column m int")
    await rows.sync()
    assert await rows.connection.fetchval("select problem from monohull.row_watches") is None
    assert await rows.told("insert into loose (n, m) values (1, 1)") == []
    (fails,) = await rows.told("insert into loose (n, m) values (1, 11)")
    assert fails[1] == {"n": 1, "k": None, "m": 11}


async def test_a_condition_that_fails_for_a_row_fails_no_writer(rows: Rows) -> None:
    await rows.watch("loose", condition="1 / new.n > 0")
    assert len(await rows.told("insert into loose (n) values (0), (2)")) == 2
    assert len(await rows.told("insert into loose (n) values (1), (2)")) == 1


async def test_a_dropped_table_is_forgotten(rows: Rows) -> None:
    await rows.connection.execute("create table public.brief (id int)")
    await rows.watch("brief")
    await rows.connection.execute("drop table public.brief")
    await rows.sync()
    assert await rows.connection.fetch(r"select from pg_proc where proname ~ '^row_events_\d'") == []
    await rows.unwatch()


@pytest.mark.parametrize(
    ("schema", "name", "options", "says"),
    [
        ("public", "nothing", {}, "no table"),
        ("public", "seen", {}, "is no table"),
        ("monohull", "outbox", {}, "not told"),
        ("pg_catalog", "pg_class", {}, "not told"),
        ("public", "orders", {"columns": ("nope",)}, "no column nope"),
        ("public", "orders", {"columns": ()}, "name a column"),
        ("public", "orders", {"operations": ("TRUNCATE",)}, "operations are"),
        ("public", "orders", {"operations": ()}, "operations are"),
    ],
)
async def test_what_cannot_be_watched_is_refused(
    rows: Rows, schema: str, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(RowsNotWatchable, match=says):
        async with rows.bench.runtime.database.unit_of_work() as session:
            await watch(session, watcher="test:1", relation=(schema, name), **options)


async def test_a_missing_grant_is_named(rows: Rows) -> None:
    """As on a server of somebody else's, where the platform's login owns its schema alone."""
    await rows.connection.execute("create role lodger bypassrls; grant all on schema monohull to lodger")
    await rows.connection.execute("grant all on all tables in schema monohull to lodger")
    await rows.connection.execute("grant execute on all functions in schema monohull to lodger")
    try:
        with pytest.raises(RowsNotWatchable) as refused:
            await as_lodger(rows)
        assert refused.value.hint == "As its owner: GRANT TRIGGER ON public.orders TO lodger"
        await rows.connection.execute("grant trigger on orders to lodger")
        await as_lodger(rows)
        await as_lodger(rows, is_ended=False)
        await rows.connection.execute("revoke trigger on orders from lodger")
        await as_lodger(rows, is_begun=False)
        assert await rows.connection.fetch(TRIGGERS) == []
    finally:
        await rows.connection.execute("drop owned by lodger cascade; drop role lodger")


async def as_lodger(rows: Rows, *, is_begun: bool = True, is_ended: bool = True) -> None:
    async with rows.bench.runtime.database.unit_of_work() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("set local role lodger")
        if is_begun:
            await watch(session, watcher="test:1", relation=("public", "orders"))
        if is_ended:
            await unwatch(session, watcher="test:1")


async def test_a_statement_of_a_hundred_thousand_rows(rows: Rows) -> None:
    await rows.watch("orders", condition="new.id % 2 = 0")
    began = time.monotonic()
    await rows.connection.execute("insert into orders select n, 'new' from generate_series(1, 100000) as n")
    await rows.connection.execute("update orders set status = 'old'")
    assert time.monotonic() - began < 60
    counts = await rows.connection.fetch(
        "select operation, sum(events), max(events) <= 1000 from monohull.row_changes group by 1 order by 1"
    )
    assert [tuple(count) for count in counts] == [("INSERT", 50_000, True), ("UPDATE", 50_000, True)]
