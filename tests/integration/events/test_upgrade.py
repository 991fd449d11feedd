"""What an outbox that is older than the feed becomes, and triggers that wrote into it themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.clock import now
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, downgrade, upgrade
from monohull.kernel.dispatch import relay_events
from monohull.kernel.events import EventRegistry
from monohull.kernel.feed import feed_end, feed_sequence_at, read_feed
from monohull.kernel.rows import sync_watches, watch
from tests.application import JWT_SECRET

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

BEFORE = "0013"
LOGIN = Login(derive_password(JWT_SECRET, "authenticator"), is_reset=True)
OLD = """
    insert into monohull.outbox (id, name, version, payload, transaction_id, relayed_at)
    select gen_random_uuid(), 'old.thing', 1, to_json(n), (1000 - n)::text::xid8,
           case when n % 3 > 0 then now() - interval '1 hour' end
    from generate_series(1, 9) as n
"""


BEFORE_CHANGES = "0025"
BEFORE_PLANS = "0028"
BEFORE_ARRAYS = "0029"
TABLE = "create table public.orders (id int primary key)"
WATCHED_BEFORE = """
do $$ declare oid oid := 'public.orders'::regclass; begin
    execute format($f$
        create function monohull.row_events_%s() returns trigger language plpgsql security definer
            set search_path = pg_catalog, pg_temp as $body$ begin
                insert into monohull.outbox (id, name, version, key, payload, is_audited, watchers)
                select gen_random_uuid(), 'rows.inserted', 1, 'public.orders:' || id, to_json(inserted),
                       false, '{test:1}'
                from inserted cross join monohull.row_cause();
                return null;
            end $body$
    $f$, oid);
    execute format($f$
        create trigger monohull_rows_each_insert after insert on public.orders
            referencing new table as inserted
            for each statement execute function monohull.row_events_%s()
    $f$, oid);
    insert into monohull.row_watches (watcher, relation, operations)
    values ('test:1', 'public.orders', '{INSERT}');
end $$;
"""
WAITING = "select coalesce(sum(events), 0) from monohull.row_changes"


async def test_triggers_of_before_tell_until_they_are_written_anew(connections: Connections) -> None:
    database = Database(connections.owner_url)
    async with database.running():
        await downgrade(database, BEFORE_CHANGES)
        async with database.connection() as connection:
            await connection.execute(TABLE)
            await connection.execute(WATCHED_BEFORE)
            await connection.execute("insert into orders values (1)")
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            await connection.execute("insert into orders values (2)")
            assert await connection.fetchval(WAITING) == 0
            assert await sync_watches(database) == []
            await connection.execute("insert into orders values (3), (4)")
            assert await connection.fetchval(WAITING) == 2
            assert await relay_events(connection, EventRegistry()) == 4
            events = await read_feed(connection, after=0)
        assert [event.key for event in events] == [f"public.orders:{n}" for n in (1, 2, 3, 4)]
        assert {event.watchers for event in events} == {("test:1",)}


async def test_what_is_not_yet_told_is_told_by_the_version_before(connections: Connections) -> None:
    database = Database(connections.owner_url)
    async with database.running():
        async with database.connection() as connection:
            await connection.execute(TABLE)
        async with database.unit_of_work() as session:
            await watch(session, watcher="test:1", relation=("public", "orders"))
        async with database.connection() as connection:
            await connection.execute("insert into orders values (1), (2)")
            await connection.execute("delete from orders where id = 1")
        await downgrade(database, BEFORE_CHANGES)
        async with database.connection() as connection:
            await connection.execute("insert into orders values (3)")
            told = await connection.fetch(
                "select name, key, watchers, sequence from monohull.outbox order by position"
            )
        await upgrade(database, LOGIN)
    assert [tuple(row) for row in told] == [
        ("rows.inserted", "public.orders:1", ["test:1"], None),
        ("rows.inserted", "public.orders:2", ["test:1"], None),
        ("rows.deleted", "public.orders:1", ["test:1"], None),
    ]


@pytest.mark.parametrize("before", [BEFORE_PLANS, BEFORE_ARRAYS])
async def test_watches_outlive_the_way_back(connections: Connections, before: str) -> None:
    """Triggers of this version call what the one before lacks, so they go, and a worker makes others."""
    database = Database(connections.owner_url)
    async with database.running():
        async with database.connection() as connection:
            await connection.execute(TABLE)
        async with database.unit_of_work() as session:
            await watch(session, watcher="test:1", relation=("public", "orders"))
        async with database.connection() as connection:
            await connection.execute("insert into orders values (1)")
        await downgrade(database, before)
        async with database.connection() as connection:
            await connection.execute("insert into orders values (2)")
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            assert await sync_watches(database) == []
            await connection.execute("insert into orders values (3)")
            await relay_events(connection, EventRegistry())
            events = await read_feed(connection, after=0)
            assert [event.key for event in events] == [f"public.orders:{n}" for n in (1, 3)]
            assert await feed_sequence_at(connection, now() - timedelta(hours=1)) == 0
            assert await feed_sequence_at(connection, now() + timedelta(hours=1)) == 2


async def test_what_was_relayed_before_has_its_number(connections: Connections) -> None:
    """Transactions with the greater number came later, and 3, 6 and 9 were still to be relayed."""
    database = Database(connections.owner_url)
    async with database.running():
        await downgrade(database, BEFORE)
        async with database.connection() as connection:
            await connection.execute(OLD)
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            assert await feed_end(connection) == 6
            assert await relay_events(connection, EventRegistry()) == 3
            events = await read_feed(connection, after=0)
        assert [int(bytes(event.payload)) for event in events] == [8, 7, 5, 4, 2, 1, 3, 6, 9]
        assert [event.sequence for event in events] == list(range(1, 10))
        await downgrade(database, BEFORE)
        async with database.connection() as connection:
            assert await connection.fetchval("select count(relayed_at) from monohull.outbox") == 9
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            assert await feed_end(connection) == 9
