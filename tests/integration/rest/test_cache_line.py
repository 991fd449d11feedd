"""What the cache does when what it relies on changes, is cut off, stands still or is away."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from modules.rest.cache.errors import NoSuchTable, TableNotCacheable
from modules.rest.cache.line import APPLICATION_NAME, CHANNEL, Line
from modules.rest.cache.looks import look
from modules.rest.cache.marking import CachedTables
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.settings import SettingsError
from tests import brokers
from tests.brokers import memcached  # noqa: F401 found by name
from tests.integration.rest.conftest import UNHURRIED, serving
from tests.integration.rest.stores import MemcachedBeside, RedisBeside
from tests.integration.rest.test_cache import SERVICE, SQL, cache_of, get, person, settle, status
from tests.integration.standing import (  # noqa: F401 found by name
    connections,
    database,
    platform_database,
    standing,
)
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.rest.stores import Beside
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTENER = (
    "select pid from pg_stat_activity "
    f"where application_name = '{APPLICATION_NAME}' and datname = current_database()"
)
IDLE = "select state = 'idle' and wait_event = 'ClientRead' from pg_stat_activity where pid = $1"
UNPROVEN = "monohull; fwd=bypass; detail=unproven"


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (SQL,)


@pytest_asyncio.fixture(loop_scope="module")
async def served(connections: Connections, standing: Standing) -> Served:  # noqa: F811, ARG001 a fresh one first
    served = await standing.serve()
    await eventually(lambda: cache_of(served).line.is_fresh)
    return served


async def test_a_listener_that_is_cut_off_proves_nothing_until_it_is_back(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
) -> None:
    await settle(served, "items?id=eq.7")
    line = cache_of(served).line
    pid = await database.fetchval(LISTENER)
    await database.execute("select pg_terminate_backend($1, 5000)", pid)
    await eventually(lambda: not line.is_fresh)
    await database.execute("update items set name = 'meanwhile' where id = 7")
    assert (await get(served, "items?id=eq.7")).json()[0]["name"] == "meanwhile"
    await eventually(lambda: line.is_fresh)
    assert (await settle(served, "items?id=eq.7")).json()[0]["name"] == "meanwhile"
    assert await database.fetchval(LISTENER) != pid


async def test_a_listener_that_stands_still_is_not_believed_beyond_the_bound(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await settle(served, "items?id=eq.7")
    line = cache_of(served).line
    monkeypatch.setattr(Line, "_patience", PATIENCE_SECONDS)  # else it is taken for lost a second later
    beat = line._beat
    await eventually(lambda: line._beat > beat + 1 and line.is_fresh)  # whose heartbeats have begun with it
    pid = await database.fetchval(LISTENER)
    os.kill(pid, signal.SIGSTOP)
    try:
        while not await database.fetchval(IDLE, pid):  # in the midst of a heartbeat it may hold a lock
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)
            os.kill(pid, signal.SIGSTOP)
        stopped = monotonic_seconds()
        await database.execute("update items set name = 'unheard' where id = 7")
        committed = monotonic_seconds()
        while monotonic_seconds() < committed + 1.0:
            asked = monotonic_seconds()
            answer = await get(served, "items?id=eq.7")
            assert answer.json()[0]["name"] == "unheard" or asked < committed + 1.0
            await asyncio.sleep(0.02)
        assert line.fresh_until <= stopped + 1.0
        answer = await get(served, "items?id=eq.7")
        assert (status(answer), answer.json()[0]["name"]) == (UNPROVEN, "unheard")
    finally:
        os.kill(pid, signal.SIGCONT)
    await eventually(lambda: line.is_fresh)
    assert (await settle(served, "items?id=eq.7")).json()[0]["name"] == "unheard"


@pytest.mark.parametrize(
    ("change", "path", "counts"),
    [
        ("alter policy all_see on items using (id > 10)", "items?select=id&id=eq.7", (1, 0)),
        ("create policy more on notes for select to anon using (true)", "notes?select=id", (1, 3)),
        ("drop policy open_ones on notes", "notes?select=id", (1, 0)),
        ("revoke select on items from anon", "items?select=id&id=eq.7", (1, None)),
        (
            "revoke select on items from anon; grant select (name) on items to anon",
            "items?id=eq.7",
            (1, None),
        ),
        ("alter table items rename to others", "items?select=id&id=eq.7", (1, None)),
        ("alter table notes disable row level security", "notes?select=id", (1, None)),
    ],
)
async def test_what_decides_about_rows_is_seen_within_the_bound(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
    change: str,
    path: str,
    counts: tuple[int, int | None],
) -> None:
    before, after = counts
    assert len((await settle(served, path)).json()) == before
    await database.execute(change)
    await asyncio.sleep(1.0)
    answer = await get(served, path)
    if after is None:
        assert answer.status_code in {401, 404}
    else:
        assert len(answer.json()) == after


async def is_cached_no_more(served: Served, path: str, headers: dict[str, str] | None = None) -> None:
    """Wait for what is known anew; until then nothing may be proven, where the machine stalls."""
    await eventually(lambda: get(served, path, headers), lambda answer: status(answer) is None)


async def test_a_function_of_somebody_else_in_the_place_of_ours_is_not_trusted(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
) -> None:
    await settle(served, "notes?select=body", person(1))
    body = await database.fetchval("select pg_get_functiondef('auth.uid()'::regprocedure)")
    await database.execute(
        "create or replace function auth.uid() returns uuid language sql stable as "
        "$$ select (current_setting('request.headers')::json ->> 'x-user')::uuid $$"
    )
    try:
        two = person(1) | {"X-User": "00000000-0000-0000-0000-000000000002"}
        await asyncio.sleep(1.0)
        for _ in range(3):
            assert (await get(served, "notes?select=body", two)).json() == [{"body": "of two"}]
        await is_cached_no_more(served, "notes?select=body", two)
    finally:
        await database.execute(body)


async def test_a_trigger_that_is_switched_off_ends_the_caching(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
) -> None:
    await settle(served, "items?id=eq.7")
    await database.execute("alter table items disable trigger monohull_cache")
    await asyncio.sleep(1.0)
    await database.execute("update items set name = 'untold' where id = 7")
    assert (await get(served, "items?id=eq.7")).json()[0]["name"] == "untold"
    await is_cached_no_more(served, "items?id=eq.7")
    assert (await get(served, "items?id=eq.7")).json()[0]["name"] == "untold"
    [table] = [one for one in await CachedTables(served.runtime.database).list() if "items" in one.table]
    assert "switched off" in str(table.reason)


async def test_a_table_that_becomes_a_parent_is_cached_no_more(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
) -> None:
    assert len((await settle(served, "items?select=id&id=eq.500")).json()) == 0
    await database.execute("create table more () inherits (items)")
    await asyncio.sleep(1.0)
    await database.execute("insert into more (id) values (500)")
    assert len((await get(served, "items?select=id&id=eq.500")).json()) == 1
    await is_cached_no_more(served, "items?select=id&id=eq.500")


async def test_tables_are_marked_and_unmarked_while_it_runs(served: Served) -> None:
    marked, line = CachedTables(served.runtime.database), cache_of(served).line
    view = await marked.mark("public.plain", 5)
    assert (view.table, view.max_age_seconds, view.is_cached) == ("public.plain", 5, True)
    await eventually(lambda: ("public", "plain") in line.facts.tables and line.is_fresh)
    answer = await settle(served, "plain?select=id", SERVICE)
    assert 0 <= int(answer.headers["cache-status"].rpartition("=")[2]) <= 5
    assert (await marked.mark("plain", 7)).max_age_seconds == 7
    await marked.unmark("public.plain")
    await eventually(lambda: ("public", "plain") not in line.facts.tables)
    assert status(await get(served, "plain?select=id", SERVICE)) is None
    with pytest.raises(NoSuchTable):
        await marked.unmark("public.plain")


@pytest.mark.parametrize("name", ["public.nothing", "a.b.c.d", "", "no;name", "public.", "x" * 100, "\0"])
async def test_what_is_no_table_is_not_found(served: Served, name: str) -> None:
    with pytest.raises(NoSuchTable):
        await CachedTables(served.runtime.database).mark(name, 60)


@pytest.mark.parametrize(
    "name",
    ["logs", "logs_2026", "monohull.roles", "pg_catalog.pg_class", "auth.users", "information_schema.tables"],
)
async def test_tables_that_cannot_tell_everything_are_refused(served: Served, name: str) -> None:
    with pytest.raises(TableNotCacheable, match="cannot be cached"):
        await CachedTables(served.runtime.database).mark(name, 60)


async def test_the_platform_route_is_guarded_and_says_for_whom(served: Served) -> None:
    path = "/platform/v1/cache/tables"
    assert (await served.client.get(path)).status_code == 401
    assert (await served.client.get(path, headers=person(1))).status_code == 403
    listed = (await served.client.get(path, headers=SERVICE)).json()["tables"]
    letters = next(one for one in listed if one["table"] == "public.letters")
    assert {role["role"]: role["claims"] for role in letters["roles"]}["anon"] == ["*"]
    body = {"table": "public.plain", "max_age_seconds": 0}
    assert (await served.client.post(path, json=body, headers=SERVICE)).status_code == 400
    body = {"table": "public.logs"}
    refused = await served.client.post(path, json=body, headers=SERVICE)
    assert (refused.status_code, refused.json()["code"]) == (400, "table_not_cacheable")
    made = await served.client.post(path, json={"table": "public.plain"}, headers=SERVICE)
    assert (made.status_code, made.json()["max_age_seconds"]) == (200, 60)
    assert (await served.client.delete(f"{path}/public.plain", headers=SERVICE)).status_code == 204
    assert (await served.client.delete(f"{path}/public.plain", headers=SERVICE)).status_code == 404


@pytest.mark.parametrize("name", ["a :b", "percent %s", 'quote " :c', "back\\slash :d"])
async def test_tables_of_any_name_are_marked(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
    name: str,
) -> None:
    quoted = 'public."{}"'.format(name.replace('"', '""'))
    await database.execute(f"create table {quoted} (id int primary key)")
    marked = CachedTables(served.runtime.database)
    assert (await marked.mark(quoted, 5)).table == f"public.{name}"
    await marked.unmark(quoted)
    assert f"public.{name}" not in {one.table for one in await marked.list()}


async def test_nonsense_on_the_channel_changes_nothing(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
) -> None:
    await settle(served, "items?id=eq.7")
    for payload in ("", "rows", "rows x", "rows -1 2", "hello", "marks no", "🙂"):
        await database.execute("select pg_notify($1, $2)", CHANNEL, payload)
    await asyncio.sleep(0.2)
    assert status(await settle(served, "items?id=eq.7")) == "monohull; hit"


async def proven(served: Served) -> None:
    await eventually(lambda: cache_of(served).line.is_fresh)


async def written(served: Served) -> None:
    """Wait until nothing is on its way to the store."""
    second = cache_of(served).second
    assert second is not None
    await eventually(lambda: not second._writes)


@pytest_asyncio.fixture(params=["redis", "memcached"], loop_scope="module")
async def beside(request: pytest.FixtureRequest, connections: Connections) -> AsyncIterator[Beside]:  # noqa: F811
    """What answers are shared through."""
    if request.param == "redis":
        store: Beside = RedisBeside(connections.redis_url)
    else:
        store = MemcachedBeside(request.getfixturevalue("memcached").url)
    yield store
    await store.close()


@pytest.mark.usefixtures("beats", "patient_keepers")
async def test_an_answer_is_shared_sealed_and_outdated_with_its_table(
    served: Served,
    connections: Connections,  # noqa: F811
    database: asyncpg.Connection,  # noqa: F811
    beside: Beside,
) -> None:
    del served  # a process without a second level is there as well
    path = "items?id=eq.7"
    async with (
        serving(connections, **beside.settings, **UNHURRIED) as one,
        serving(connections, **beside.settings, **UNHURRIED) as other,
    ):
        for process in (one, other):
            await proven(process)
        await get(other, path)
        await settle(one, path)
        await written(one)
        [key] = await beside.keys()
        kept = await beside.get(key)
        assert b"item" not in kept
        assert 0 < await beside.seconds_left(key) <= 60
        answer = await get(other, path)
        said = answer.headers["cache-status"]
        assert re.fullmatch(rf"monohull; hit; ttl=\d+; detail={beside.kind}", said)
        assert answer.json()[0]["id"] == 7
        assert status(await get(other, path)) == "monohull; hit", "from memory"
        heard = cache_of(other).line.heard
        await database.execute("update items set name = 'new' where id = 7")
        await eventually(lambda: cache_of(other).line.heard > heard)
        answer = await get(other, path)
        assert (status(answer), answer.json()[0]["name"]) == ("monohull; fwd=stale; stored", "new")
        await written(other)
        for key in await beside.keys():
            await beside.set(key, kept)  # of another name
        cache_of(other).clear()
        answer = await get(other, path)
        assert (status(answer), answer.json()[0]["name"]) == ("monohull; fwd=miss; stored", "new")
        await written(other)
        counted = (await other.client.get("/metrics")).text
        assert f'monohull_rest_cache_stores_total{{level="{beside.kind}"}} 2' in counted


@asynccontextmanager
async def small_memcached(folder: Path) -> AsyncIterator[brokers.Memcached]:
    """Have a server that keeps nothing of more than 128 KiB."""
    if (reason := brokers.Memcached.missing()) is not None:
        pytest.skip(reason)
    store = brokers.Memcached(folder, arguments=("-I", "128k", "-o", "slab_chunk_max=65536"))
    store.start()
    try:
        yield store
    finally:
        store.stop()


@pytest.mark.usefixtures("beats", "patient_keepers")
async def test_an_answer_that_is_too_large_for_the_store_stays_in_memory(
    served: Served,
    connections: Connections,  # noqa: F811
    database: asyncpg.Connection,  # noqa: F811
    tmp_path: Path,
) -> None:
    del served
    await database.execute("update items set name = repeat('x', 200000) where id = 7")
    async with (
        small_memcached(tmp_path) as store,
        serving(connections, rest_cache_memcached=store.url, **UNHURRIED) as process,
    ):
        await proven(process)
        answer = await settle(process, "items?id=eq.7")
        assert len(answer.content) > 200_000
        await written(process)
        second = cache_of(process).second
        assert second is not None
        assert (second.kept, second.refused) == (0, 1)
        assert status(await settle(process, "items?id=eq.8")) == "monohull; hit", "it is asked for others"
        await written(process)
        assert (second.kept, second.refused) == (1, 1)


AWAY = {"rest_cache_redis": "redis://127.0.0.1:1/0"}, {"rest_cache_memcached": "memcached://127.0.0.1:1"}


@pytest.mark.parametrize("settings", AWAY, ids=["redis", "memcached"])
@pytest.mark.usefixtures("beats")
async def test_without_its_store_the_first_level_goes_on(
    connections: Connections,  # noqa: F811
    settings: dict[str, str],
) -> None:
    async with serving(connections, **settings, **UNHURRIED) as process:
        await eventually(lambda: cache_of(process).line.is_fresh)
        assert status(await settle(process, "items?id=eq.7")) == "monohull; hit"
        answers = [await get(process, f"items?id=eq.{number}") for number in range(8, 12)]
        assert {status(answer) for answer in answers} == {"monohull; fwd=miss; stored"}


@pytest.mark.parametrize(
    ("settings", "variable", "sentence"),
    [
        ({"rest_cache_memcached": "redis://cache"}, "MEMCACHED", "must start with memcached://"),
        ({"rest_cache_redis": "memcached://cache"}, "REDIS", "must start with one of redis://"),
        ({"rest_cache_memcached": "memcached://cache", "rest_cache_redis": "main"}, "MEMCACHED", "already"),
        (
            {"rest_cache_memcached": "memcacheds://u:hidden@cache?ssl_ca_certs=/none"},
            "MEMCACHED",
            "a file that the Memcached URL names cannot be used",
        ),
    ],
)
async def test_a_second_level_that_cannot_be_stops_the_start(
    connections: Connections,  # noqa: F811
    settings: dict[str, str],
    variable: str,
    sentence: str,
) -> None:
    with pytest.raises(SettingsError) as raised:
        async with serving(connections, **settings):
            pass
    [fault] = raised.value.faults
    assert fault.variable == f"MONOHULL_REST_CACHE_{variable}"
    assert sentence in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.usefixtures("patient_keepers")
async def test_the_doctor_says_what_is_wrong_with_the_cache(
    connections: Connections,  # noqa: F811
    database: asyncpg.Connection,  # noqa: F811
    memcached: brokers.Memcached,  # noqa: F811
) -> None:
    await database.execute("drop trigger monohull_cache on posts")  # it is cached for one role alone
    async with serving(connections, rest_cache_memcached=memcached.url) as process:
        found = await look(process.runtime)
        assert (found.state, found.name) == ("ok", "response cache")
        assert re.fullmatch(r"3 tables, answers are shared through memcached 1\.\S+", found.message)
    async with serving(connections, rest_server_timing_enabled="true") as process:
        found = await look(process.runtime)
        assert (found.state, "nothing is cached with Server-Timing" in found.message) == ("advice", True)
    async with serving(connections, rest_cache_redis="main") as process:
        assert "shared through redis " in (await look(process.runtime)).message
    async with serving(connections, **AWAY[1]) as process:
        found = await look(process.runtime)
        assert found.state == "wrong"
        assert found.message.startswith("127.0.0.1:1 is not reachable: ")
    async with serving(connections) as process:
        assert (await look(process.runtime)).message == "3 tables, each process by itself"
        await database.execute("alter table items disable trigger monohull_cache")
        found = await look(process.runtime)
        assert (found.state, "public.items is marked and not cached" in found.message) == ("wrong", True)
        for table in ("items", "notes", "letters"):
            await database.execute(f"drop trigger if exists monohull_cache on {table}")
        assert (await look(process.runtime)).message == "no table is cached"
