"""The event triggers that tell of DDL: what they tell of, who may have them, and that nobody needs them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from monohull.kernel.database import ddl
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import downgrade, upgrade
from tests.integration.database.cluster import LOGIN
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.database.cluster import Cluster

TOLD_OF = (
    "create table items (id int generated always as identity primary key, name text)",
    "alter table items add column price numeric",
    "alter table items rename column price to cost",
    "alter table items alter column cost type text",
    "alter table items add constraint one_name unique (name)",
    "alter table items enable row level security",
    "comment on table items is '@public'",
    "alter table items drop column cost",
    "create view names as select name from items",
    "create function insert_name() returns trigger language plpgsql as 'begin return new; end'",
    "create trigger writes instead of insert on names for each row execute function insert_name()",
    "drop trigger writes on names",
    "drop view names",
    "create materialized view counts as select count(*) from items",
    "create table copied as select 1 as one",
    "select 1 as one into selected",
    "create function add(a int, b int) returns int language sql as 'select a + b'",
    "alter function add(int, int) stable",
    "drop function add(int, int)",
    "create type mood as enum ('glad', 'sad')",
    "alter type mood add value 'wild'",
    "create domain words as text",
    "drop domain words",
    "alter sequence items_id_seq increment by 2",
    "create schema apart",
    "alter table copied set schema apart",
    "drop schema apart cascade",
    "drop table selected",
)
NOT_TOLD_OF = (
    "create temp table scratch (id serial primary key, name text unique)",
    "alter table scratch add column price numeric default 0",
    "comment on table scratch is 'mine'",
    "create index on scratch (price)",
    "create temp view seen as select * from scratch",
    "drop view seen",
    "alter table scratch drop column price",
    "drop table scratch",
    "create temp table gone (id int) on commit drop",
    "create function pg_temp.mine() returns int language sql as 'select 1'",
    "create index items_name on items (name)",
    "alter index items_name rename to items_by_name",
    "drop index items_by_name",
    "grant select on items to public",
    "revoke select on items from public",
    "create policy everybody on items using (true)",
    "alter policy everybody on items using (false)",
    "drop policy everybody on items",
    "create statistics together on id, name from items",
    "drop statistics together",
    "refresh materialized view counts",
    "insert into items (name) values ('x')",
    "analyze items",
    "create table if not exists items (id int)",
)


class Ear:
    """Hears what is said on the channel."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self) -> None:
        await self._connection.add_listener(ddl.CHANNEL, lambda *said: self._heard.put_nowait(said[3]))

    async def heard(self) -> list[str]:
        """Return what was said since this was asked last; notifications keep the order of commits."""
        await self._connection.execute(f"notify {ddl.CHANNEL}, 'that is all'")
        return [said async for said in self._until("that is all")]

    async def _until(self, end: str) -> AsyncIterator[str]:
        while (said := await asyncio.wait_for(self._heard.get(), PATIENCE_SECONDS)) != end:
            yield said


@asynccontextmanager
async def watched(cluster: Cluster, database: str = "shop") -> AsyncIterator[tuple[asyncpg.Connection, Ear]]:
    """Lend a superuser's session in a database, and an ear of another."""
    session, other = [await asyncpg.connect(cluster.address(database)) for _ in range(2)]
    ear = Ear(other)
    await ear.listen()
    try:
        yield session, ear
    finally:
        await session.close()
        await other.close()


async def as_superuser(cluster: Cluster) -> None:
    """Migrate the shop as the cluster's superuser."""
    database = Database(cluster.address("shop"), pool_size=1, application_name="tests")
    async with database.running():
        await upgrade(database, LOGIN)


async def state(database: Database) -> ddl.State:
    async with database.connection() as connection:
        return await ddl.state(connection)


async def test_what_a_catalog_knows_of_is_told_of_and_nothing_else(pristine: Cluster) -> None:
    async with pristine.owned():
        await as_superuser(pristine)
        async with watched(pristine) as (session, ear):
            for sql in TOLD_OF:
                await session.execute(sql)
                assert await ear.heard() == [ddl.PAYLOAD], sql
            for sql in NOT_TOLD_OF:
                await session.execute(sql)
                assert await ear.heard() == [], sql


async def test_a_transaction_is_told_of_once_and_only_when_it_commits(pristine: Cluster) -> None:
    async with pristine.owned():
        await as_superuser(pristine)
        async with watched(pristine) as (session, ear):
            await session.execute(
                "begin; create table a (id int); create table b (id int); drop table a; commit"
            )
            assert await ear.heard() == [ddl.PAYLOAD]
            await session.execute("begin; drop table b; rollback")
            assert await ear.heard() == []


async def test_ddl_of_any_role_is_told_of(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await as_superuser(pristine)
        async with watched(pristine) as (_, ear), database.connection() as owner:
            await owner.execute("create table mine (id int)")
            assert await ear.heard() == [ddl.PAYLOAD]


async def test_an_owner_without_superuser_migrates_without(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN)
        assert await state(database) == "absent"
        async with database.connection() as connection:
            left = await connection.fetchval("select count(*) from pg_proc where proname like 'notify_of_%'")
            assert left == 0


async def test_what_an_administrator_installed_stays_and_is_out_of_the_owners_reach(
    pristine: Cluster,
) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN)
        await as_superuser(pristine)
        assert await state(database) == "installed"
        await upgrade(database, LOGIN)
        assert await state(database) == "installed"
        async with database.connection() as connection:
            for name in ddl.FUNCTIONS:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(
                        f"create or replace function monohull.{name}() returns event_trigger "
                        "language plpgsql as 'begin end'"
                    )


async def test_a_function_that_the_owner_laid_out_becomes_the_administrators(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            await connection.execute(
                "create function monohull.notify_of_ddl() returns event_trigger language plpgsql "
                "as $$ begin raise 'trap'; end $$"
            )
            await as_superuser(pristine)
            owner = "select proowner::regrole::text from pg_proc where proname = 'notify_of_ddl'"
            assert await connection.fetchval(owner) == "monohull"
            await connection.execute("create table untouched (id int)")


async def test_a_downgrade_removes_it_whoever_installed_it(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN)
        await as_superuser(pristine)
        await downgrade(database, "0003")
        assert await state(database) == "absent"
        assert await pristine.rows("select evtname from pg_event_trigger", database="shop") == []
        await as_superuser(pristine)
        assert await state(database) == "installed"


async def test_migrating_again_changes_nothing(pristine: Cluster) -> None:
    triggers = "select oid, evtname, evtenabled from pg_event_trigger order by 1"
    async with pristine.owned() as database:
        await as_superuser(pristine)
        before = await pristine.rows(triggers, database="shop")
        assert [row["evtname"] for row in before] == list(ddl.TRIGGERS)
        await as_superuser(pristine)
        assert await pristine.rows(triggers, database="shop") == before
        await pristine.run("alter event trigger monohull_drop disable", database="shop")
        assert await state(database) == "disabled"
        await as_superuser(pristine)
        assert await state(database) == "disabled"


async def test_somebody_elses_trigger_of_the_same_name_is_left(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await pristine.run(
            "create function theirs() returns event_trigger language plpgsql as 'begin end'",
            "create event trigger monohull_ddl on ddl_command_end execute function theirs()",
            database="shop",
        )
        await as_superuser(pristine)
        assert await state(database) == "absent"
        assert len(await pristine.rows("select from pg_event_trigger", database="shop")) == 1
