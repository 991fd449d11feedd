"""Owners of watched tables, and authors of conditions, who would like to be the owner of the platform."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from monohull.kernel import row_keeping, rows
from monohull.kernel.dispatch import relay_events
from monohull.kernel.feed import read_feed
from monohull.kernel.observation import Observer
from monohull.kernel.row_keeping import RowWatchesNotKept, keeping_row_watches
from monohull.kernel.row_refusals import RowsInUse, RowsNotWatchable
from monohull.kernel.rows import sync_watches, unwatch, watch
from tests.application import on_database
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.observation import Observation
    from tests.services import Services
    from tests.workbench import Workbench

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS: Final = """
    create table public.orders (id int primary key, status text, total numeric);
    create table public.others (id int primary key, changed text, tg_table_name text, facts text);
"""
THEIRS: Final = """
create table public.proof (who text);
create function public.note() returns void language sql volatile as
    'insert into public.proof select current_user';
create type public.mood as enum ('low', 'high');
create function public.as_json(mood) returns json language plpgsql volatile as
    $$ begin perform public.note(); return '"cast"'; end $$;
create cast (mood as json) with function public.as_json(mood);
create type public.pair as (one mood, amount numeric);
create domain public.felt as mood;
create function public.is_fine(int) returns boolean language plpgsql volatile as
    $$ begin perform public.note(); return true; end $$;
create domain public.checked as int constraint fine check (public.is_fine(value));
create table public.diary (
    id int primary key, mood mood, moods mood[], pair pair, felt felt, "no'te" json, empty mood
);
create table public.pages (id int, mood mood, amount checked) partition by range (id);
create table public.page partition of public.pages for values from (0) to (100);
create table public.sheets (id int, amount checked) partition by range (id);
create table public.sheet partition of public.sheets for values from (0) to (100);
create table public.plain (id int primary key);
"""
TEMPORARY: Final = """
create function pg_temp.steal(pg_catalog.text) returns boolean language plpgsql volatile as
    $$ begin perform public.note(); return true; end $$;
create domain pg_temp.text as pg_catalog.text constraint stolen check (pg_temp.steal(value));
create domain pg_temp.json as pg_catalog.json;
"""
DIARY: Final = "insert into diary values (1, 'low', '{low,high}', row('high', 1), 'high', '{\"a\": 1.10}', null)"  # fmt: skip  # noqa: E501


class Watching:
    """Two logins on one database: the platform's, and one that owns tables of its own."""

    def __init__(self, bench: Workbench, ours: asyncpg.Connection, theirs: asyncpg.Connection) -> None:
        self.database = bench.runtime.database
        self.events = bench.runtime.events
        self.ours = ours
        self.theirs = theirs

    async def watch(self, name: str, watcher: str = "test:1", **options: Any) -> None:
        async with self.database.unit_of_work() as session:
            await watch(session, watcher=watcher, relation=("public", name), **options)

    async def told(self) -> list[tuple[tuple[str, ...] | None, Any]]:
        """Return the watchers and the payload of each event since the last time."""
        after = await self.ours.fetchval("select sequence from monohull.feed_end")
        while await relay_events(self.ours, self.events):
            pass
        return [
            (event.watchers, json.loads(bytes(event.payload)))
            for event in await read_feed(self.ours, after=after)
        ]

    async def proof(self) -> set[str]:
        """Return as whom their functions ran, themselves left out."""
        me = await self.theirs.fetchval("select current_user::pg_catalog.text")
        return {row["who"] for row in await self.theirs.fetch("select who from public.proof")} - {me}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(
    services: Services, shared_connection: asyncpg.Connection
) -> AsyncIterator[asyncpg.Connection]:
    """A login that owns tables and nothing of the platform."""
    name, ours = f"mallory_{uuid4().hex[:8]}", shared_connection
    database = await ours.fetchval("select current_database()")
    parts = urlsplit(on_database(services.postgres_url, database))
    await ours.execute(OURS)
    await ours.execute(f"create role {name} login password 'x'; grant create, usage on schema public to {name}")  # fmt: skip  # noqa: E501
    await ours.execute(f'grant temp on database "{database}" to {name}')
    theirs = await asyncpg.connect(
        urlunsplit(parts._replace(netloc=f"{name}:x@{parts.netloc.rpartition('@')[2]}"))
    )
    try:
        await theirs.execute(THEIRS)
        yield theirs
    finally:
        await theirs.close()
        await ours.execute(f"drop owned by {name} cascade; drop role {name}")


@pytest_asyncio.fixture(loop_scope="module")
async def watching(
    shared_bench: Workbench, empty: asyncpg.Connection, theirs: asyncpg.Connection
) -> AsyncIterator[Watching]:
    watching = Watching(shared_bench, empty, theirs)
    yield watching
    await empty.execute(
        "delete from monohull.row_watches; truncate orders, others, diary, pages, sheets, plain, proof"
    )
    assert await sync_watches(watching.database) == []


async def test_no_cast_of_theirs_runs_as_the_platform(watching: Watching) -> None:
    await watching.watch("diary")
    await watching.watch("pages")
    await watching.theirs.execute(DIARY)
    await watching.theirs.execute("update diary set mood = 'high'")
    await watching.theirs.execute("insert into pages values (1, 'low', 5)")
    (_, inserted), (_, updated), (_, paged) = await watching.told()
    row = {"id": 1, "mood": "low", "moods": "{low,high}", "pair": "(high,1)", "felt": "high", "no'te": {"a": 1.1}, "empty": None}  # fmt: skip  # noqa: E501
    assert list(inserted["record"].items()) == list(row.items())
    assert (updated["old_record"], updated["record"]) == (row, row | {"mood": "high"})
    assert (paged["table"], paged["record"]) == ("pages", {"id": 1, "mood": "low", "amount": 5})
    await watching.theirs.execute("delete from diary")
    assert [one["old_record"]["mood"] for _, one in await watching.told()] == ["high"]
    assert await watching.proof() == set()


COLUMNS: Final = {
    "plain": "alter table plain add column mood mood default 'low'",
    "parted": "alter table parted add column mood mood default 'low'",
    "notes": "alter table notes alter column kind type mood using 'low'",
    "trios": "alter type trio add attribute mood mood",
}
"""What puts a value of their type into rows of a table."""
MORE: Final = """
    create table parted (id int) partition by range (id);
    create table part partition of parted for values from (0) to (100);
    create table notes (id int, kind text);
    create type trio as (n int);
    create table trios (id int, trio trio);
"""
LESS: Final = """
    drop table if exists notes, parted, trios;
    drop type if exists trio;
    alter table plain drop column if exists mood;
"""
ROWS: Final = {"plain": "(1)", "parted": "(1)", "notes": "(1)", "trios": "(1, row(1, 'low')::trio)"}


@pytest.mark.parametrize("table", COLUMNS)
@pytest.mark.parametrize("condition", [None, "coalesce(new.id, old.id) > 0"], ids=["all", "chosen"])
async def test_no_cast_of_theirs_runs_in_a_transaction_that_does_not_see_it(
    watching: Watching, table: str, condition: str | None
) -> None:
    """A snapshot that is older than a column shows a table without it, while its rows have it."""
    await watching.theirs.execute(MORE)
    try:
        await watching.watch(table, condition=condition)
        async with watching.theirs.transaction(isolation="repeatable_read"):
            await watching.theirs.fetch("select 1 from proof")
            await watching.ours.execute(COLUMNS[table])
            await watching.theirs.execute(f"insert into {table} values {ROWS[table]}")
        assert [told["record"]["id"] for _, told in await watching.told()] == [1]
        assert await watching.proof() == set()
    finally:
        await watching.theirs.execute(LESS)


@pytest.mark.parametrize("table", ["plain", "parted"])
async def test_no_cast_of_theirs_runs_by_a_plan_that_was_made_before(watching: Watching, table: str) -> None:
    await watching.theirs.execute(MORE)
    await watching.watch(table)
    insert = f"insert into {table} (id) values ($1)"
    await watching.theirs.executemany(insert, [(n,) for n in range(1, 13)])
    try:
        await watching.theirs.execute(COLUMNS[table])
        await watching.theirs.execute(insert, 13)
        await watching.theirs.execute(f"update {table} set id = 14 where id = 13")
        await watching.theirs.execute(f"alter table {table} drop column mood")
        await watching.theirs.execute(insert, 15)
        *before, inserted, updated, last = [told for _, told in await watching.told()]
        assert [told["record"]["id"] for told in before] == list(range(1, 13))
        assert inserted["record"] == {"id": 13, "mood": "low"}
        assert (updated["old_record"], updated["record"]) == (inserted["record"], {"id": 14, "mood": "low"})
        assert last["record"] == {"id": 15}
        assert await watching.proof() == set()
    finally:
        await watching.theirs.execute(LESS)


async def test_rows_of_a_transaction_with_an_old_snapshot_are_told(watching: Watching) -> None:
    await watching.watch("orders", condition="new.status = 'open'")
    async with watching.ours.transaction(isolation="serializable"):
        await watching.ours.execute("insert into orders values (1, 'open', 1.50), (2, 'paid', 2)")
    [(_, told)] = await watching.told()
    assert told["record"] == {"id": 1, "status": "open", "total": 1.5}


async def test_no_temporary_type_takes_the_place_of_a_type(watching: Watching) -> None:
    await watching.watch("plain")
    await watching.theirs.execute(TEMPORARY)
    try:
        await watching.theirs.execute("insert into plain values (1)")
    finally:
        await watching.theirs.execute("discard temp")
    assert [one["record"] for _, one in await watching.told()] == [{"id": 1}]
    assert await watching.proof() == set()


async def test_every_function_looks_at_temporary_objects_last(watching: Watching) -> None:
    await watching.watch("orders")
    paths = await watching.ours.fetch(
        "select proconfig from pg_proc where pronamespace = 'monohull'::regnamespace "
        r"and proname ~ '^row_events_\d'"
    )
    assert [row["proconfig"] for row in paths] == [["search_path=pg_catalog, pg_temp"]]


@pytest.mark.parametrize("table", ["diary", "pages", "sheets"])
async def test_no_condition_is_asked_where_it_would_run_their_code(watching: Watching, table: str) -> None:
    with pytest.raises(RowsNotWatchable, match="types whose casts or checks"):
        await watching.watch(table, condition="new.id > 5")
    assert await watching.proof() == set()


async def test_a_foreign_column_that_comes_later_ends_a_condition(watching: Watching) -> None:
    await watching.watch("plain", condition="new.id > 5")
    await watching.theirs.execute("insert into plain values (1); alter table plain add column mood mood")
    try:
        await watching.theirs.execute("insert into plain values (2, 'low')")
        assert [one["record"] for _, one in await watching.told()] == [{"id": 2, "mood": "low"}]
        assert await sync_watches(watching.database) == []
        problem = await watching.ours.fetchval("select problem from monohull.row_watches")
        assert "types whose casts" in problem
        assert await watching.proof() == set()
    finally:
        await watching.theirs.execute("alter table plain drop column mood")


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("query_to_xml('select 1', true, true, '') is not null", "query_to_xml"),
        ("set_config('role', 'none', true) <> ''", "set_config"),
        ("pg_notify('a', new.status) is null", "pg_notify"),
        ("lo_create(0) > 0", "lo_create"),
        ("now() > '2026-01-01'", "now()"),
        ("public.is_fine(new.id)", "is_fine"),
        ("new.id::public.checked > 0", "converts to|COERCETODOMAIN"),
        ("new is distinct from old", "whole row"),
        ("new.tableoid = 1", "system column|system attribute"),
        ("xmlelement(name a, new.status) is document", "XML"),
    ],
)
async def test_a_condition_calls_nothing_but_immutable_functions(
    watching: Watching, condition: str, says: str
) -> None:
    with pytest.raises(RowsNotWatchable, match=says):
        await watching.watch("orders", condition=condition)
    assert await watching.proof() == set()


async def test_what_a_condition_may_say(watching: Watching) -> None:
    await watching.watch(
        "orders",
        condition="lower(new.status) = any (array['a', 'b']) and coalesce(new.total, 0) between 1 and 9 "
        "and (new.id, 1) > (0, 0) and case when new.id is distinct from old.id "
        "then new.id::text like '1%' end and greatest(new.id, 1) = 1 "
        "and nullif(new.status, '') is not null and new.status ~ '^A'",
    )
    await watching.ours.execute("insert into orders values (1, 'A', 5), (2, 'A', 5)")
    assert [one["record"]["id"] for _, one in await watching.told()] == [1]


async def test_one_condition_that_fails_leaves_the_others(watching: Watching) -> None:
    await watching.watch("orders", "test:all", operations=("DELETE", "UPDATE"))
    await watching.watch("orders", "test:bad", condition="1 / (new.id - 3) > -5 and new.status <> 'x'")
    await watching.watch("orders", "test:good", condition="new.id % 2 = 0")
    said: list[str] = []

    def listen(_: object, message: Any) -> None:
        said.append(message.message)

    watching.ours.add_log_listener(listen)
    await watching.ours.execute("insert into orders select n, 's3cret' from generate_series(1, 4) as n")
    assert [(who, one["record"]["id"]) for who, one in await watching.told()] == [
        (("test:bad",), 1),
        (("test:bad", "test:good"), 2),
        (("test:bad",), 3),
        (("test:bad", "test:good"), 4),
    ]
    await watching.ours.execute("update orders set status = 'y' where id >= 3")
    assert [set(who or ()) for who, _ in await watching.told()] == [
        {"test:all", "test:bad"},
        {"test:all", "test:bad", "test:good"},
    ]
    await asyncio.sleep(0)
    watching.ours.remove_log_listener(listen)
    assert said == ["a condition on rows of public.orders fails (SQLSTATE 22012), and test:bad is told of all"] * 2  # fmt: skip  # noqa: E501


async def test_no_column_takes_the_place_of_what_an_event_says(watching: Watching) -> None:
    await watching.watch("others", condition="new.id > 0")
    await watching.ours.execute("insert into others values (1, 'c', 'forged', 'f')")
    row = {"id": 1, "changed": "c", "tg_table_name": "forged", "facts": "f"}
    assert [(one["table"], one["record"]) for _, one in await watching.told()] == [("others", row)]


async def test_a_locked_table_is_a_refusal_that_passes(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And holds up no other table."""
    monkeypatch.setattr(rows, "PATIENCE", "300ms")
    await watching.watch("orders")
    await watching.ours.execute("create table public.renamed (id int)")
    await watching.watch("renamed")
    await watching.theirs.execute("begin; lock table plain")
    try:
        with pytest.raises(RowsInUse):
            await watching.watch("plain", condition="new.id > 0")
        with pytest.raises(RowsInUse):
            await watching.watch("plain")
        await watching.theirs.execute("rollback")
        await watching.watch("plain")
        await watching.theirs.execute("begin; lock table plain")
        with pytest.raises(RowsInUse):
            async with watching.database.unit_of_work() as session:
                await unwatch(session, watcher="test:1")
        await watching.ours.execute("delete from monohull.row_watches; drop table public.renamed")
        (failure,) = await sync_watches(watching.database)
        assert isinstance(failure, RowsInUse)
        left = await watching.ours.fetch(r"select from pg_proc where proname ~ '^row_events_\d'")
        assert len(left) == 1
    finally:
        await watching.theirs.execute("rollback")


async def test_the_keeper_outlives_what_nobody_expected(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of the platform's that somebody replaced answers what no code expects."""
    seen: list[Observation] = []
    twice = asyncio.Event()

    def read(observation: Observation) -> None:
        seen.append(observation)
        if len(seen) > 1:
            twice.set()

    await watching.watch("orders")
    monkeypatch.setattr(row_keeping, "INTERVAL_SECONDS", 0.01)
    hidden = await watching.ours.fetchval(
        "select pg_get_functiondef('monohull.hidden_columns(regclass)'::regprocedure)"
    )
    await watching.ours.execute(
        "create or replace function monohull.hidden_columns(relation regclass) returns text[] "
        "language sql as 'select null::text[]'"
    )
    try:
        async with keeping_row_watches(watching.database, Observer(read)):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await twice.wait()
    finally:
        await watching.ours.execute(hidden)
    assert all(isinstance(one, RowWatchesNotKept) and "ValidationError" in one.reason for one in seen)


async def test_a_login_of_any_name_knows_its_own_types(watching: Watching) -> None:
    ours = watching.ours
    await ours.execute("""create role "Mono.Hull"; grant usage on schema monohull to "Mono.Hull";
        grant create on schema public to "Mono.Hull";
        grant execute on function monohull.is_own_type(oid, boolean) to "Mono.Hull";
        set role "Mono.Hull"; create type public.mine as enum ('a')""")
    try:
        assert await ours.fetchval("select monohull.is_own_type('mine'::regtype)") is True
        assert await ours.fetchval("select monohull.is_own_type('mood'::regtype)") is False
    finally:
        await ours.execute('reset role; drop owned by "Mono.Hull" cascade; drop role "Mono.Hull"')
