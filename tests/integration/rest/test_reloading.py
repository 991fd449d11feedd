"""When the catalog is read again, how often, and what a new one leaves of the old."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import ref

import asyncpg
import pytest

from modules.query import CatalogMissing, LiveCatalog, live_catalog
from modules.query.live import MIN_INTERVAL_SECONDS, CatalogLoaded, CatalogUnreadable
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.observation import Observer
from tests.application import service_key
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from modules.query import Catalog
    from monohull.kernel.observation import Observation
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}
CHANGES = (
    ("alter table typed add c int", False),
    ("create table fresh (a int)", False),
    ("comment on table typed is 'of types'", False),
    ("alter table typed alter a type bigint", True),
    ("alter table typed drop c", True),
    ("alter table typed rename b to d", True),
    ("drop table other", True),
    ("create table other (a text)", False),
)
SILENCE = "alter event trigger monohull_ddl disable; alter event trigger monohull_drop disable"
"""From here on nobody is told of DDL by itself."""
WAITS = """
select pid from pg_stat_activity
where application_name = 'monohull-listen' and wait_event_type = 'Lock' and datname = current_database()
"""


class Reading:
    """A catalog of its own over the test's database, and what it said."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.said: list[Observation] = []
        self.reconfigured = self.opened = 0
        self._url = url
        self.live = LiveCatalog(self._connect, url, Observer(self.said.append), **settings)
        self.live.on_reconfigured(self._count)

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[asyncpg.Connection]:
        self.opened += 1
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()

    def _count(self) -> None:
        self.reconfigured += 1

    def knows(self, name: str) -> bool:
        return self.live.current().find("public", name) is not None

    @property
    def is_at_rest(self) -> bool:
        """Whether somebody listens, and all that was asked for was read."""
        return self.live._listener.is_connected and self.live._answered == self.live._asked

    def has_read_since(self, loads: int) -> bool:
        """Whether something was read since there were so many loads, and nothing is left to be read."""
        return len(self.loads) > loads and self.is_at_rest

    @property
    def loads(self) -> list[CatalogLoaded]:
        return [one for one in self.said if isinstance(one, CatalogLoaded)]


@pytest.fixture(autouse=True)
def _patient_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it be read when it is listened for, and by the connection that listens.

    What a database that is slow for a moment has it do instead is right too, and more reads than are counted.
    """
    monkeypatch.setattr("modules.query.live.LISTEN_FIRST_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr("monohull.kernel.database.listen.LEND_SECONDS", PATIENCE_SECONDS)


@asynccontextmanager
async def reading(url: str, **settings: Any) -> AsyncIterator[Reading]:
    found = Reading(url, **settings)
    async with found.live.running():
        yield found


async def test_ddl_is_seen_without_a_word(database: asyncpg.Connection, platform_database: str) -> None:
    async with reading(platform_database) as found:
        assert not found.knows("fresh")
        await database.execute("create table fresh (id int)")
        await eventually(lambda: found.knows("fresh"))
        await database.execute("drop table fresh")
        await eventually(lambda: not found.knows("fresh"))


@pytest.mark.parametrize("word", ["notify pgrst, 'reload schema'", "notify pgrst"])
async def test_where_nobody_tells_a_notification_does(
    database: asyncpg.Connection, platform_database: str, word: str
) -> None:
    await database.execute(SILENCE)
    async with reading(platform_database) as found:
        await database.execute("create table fresh (id int); notify pgrst, 'reload config'")
        await eventually(lambda: found.reconfigured == 1)
        await database.execute("notify pgrst, 'something else'; notify other; notify pgrst, 'reload config'")
        await eventually(lambda: found.reconfigured == 2)
        assert not found.knows("fresh")
        assert len(found.loads) == 1
        await database.execute(word)
        await eventually(lambda: found.knows("fresh"))
        assert len(found.loads) == 2
        assert found.reconfigured == (2 if "schema" in word else 3)


async def test_who_keeps_types_is_told_when_they_change(
    database: asyncpg.Connection, platform_database: str
) -> None:
    await database.execute("create table typed (a int, b text); create table other (a int)")
    async with reading(platform_database) as found:
        told: list[None] = []
        found.live.on_retyped(lambda: told.append(None))
        for change, is_told in CHANGES:
            told.clear()
            loads = len(found.loads)
            await database.execute(change)
            await eventually(partial(found.has_read_since, loads))
            assert bool(told) is is_told, change


async def test_another_channel_hears_of_ddl_too(database: asyncpg.Connection, platform_database: str) -> None:
    async with reading(platform_database, channel="mine") as found:
        await database.execute("create table fresh (id int)")
        await eventually(lambda: found.knows("fresh"))
        await database.execute("notify pgrst, 'reload config'; notify mine, 'reload config'")
        await eventually(lambda: found.reconfigured == 1)
        await database.execute(f"{SILENCE}; create table second (id int); notify mine, 'reload schema'")
        await eventually(lambda: found.knows("second"))
    assert found.reconfigured == 1


async def test_no_channel_no_word(database: asyncpg.Connection, platform_database: str) -> None:
    async with reading(platform_database, channel=None) as deaf, reading(platform_database) as found:
        await database.execute("create table fresh (id int)")
        await eventually(lambda: found.knows("fresh"))
        assert not deaf.knows("fresh")
        deaf.live.request_reload()
        await eventually(lambda: deaf.knows("fresh"))


async def test_a_burst_of_ddl_is_few_reads_and_the_last_is_seen(
    database: asyncpg.Connection, platform_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = 0.4
    monkeypatch.setattr("modules.query.live.SHORTEST_PAUSE_SECONDS", pause)
    async with reading(platform_database) as found:
        began = monotonic_seconds()
        for number in range(100):
            await database.execute(f"create table burst_{number} (id int)")
        await eventually(lambda: found.knows("burst_99"))
        loads = len(found.loads)
        lasted = monotonic_seconds() - began
    assert loads <= 2 + lasted / pause


async def test_nothing_changed_nothing_replaced(database: asyncpg.Connection, platform_database: str) -> None:
    async with reading(platform_database) as found:
        catalog = found.live.current()
        await database.execute("notify pgrst, 'reload schema'")
        await eventually(lambda: len(found.loads) == 2)
        assert found.live.current() is catalog
        assert [load.is_changed for load in found.loads] == [True, False]


async def test_what_is_the_same_is_kept(database: asyncpg.Connection, platform_database: str) -> None:
    async with reading(platform_database) as found:
        before = found.live.current()
        await database.execute("alter table products add column weight numeric")
        await eventually(lambda: found.live.current() is not before)
        now = found.live.current()
    changed = ("public", "products")
    assert "weight" in now.relations[changed].columns
    assert "weight" not in before.relations[changed].columns
    for key, relation in now.relations.items():
        assert (relation is before.relations[key]) == (key != changed), key
    for key, ways in now.relationships.items():
        assert ways is before.relationships[key], key
    assert found.loads[1].columns == found.loads[0].columns + 1


async def test_an_old_catalog_is_freed_at_once(database: asyncpg.Connection, shop: Served) -> None:
    """What waits for the garbage collector stays for long: an API process seldom looks at old objects.

    One of three must be freed. What we do keeps all of them or none; a machine that stands still for half a
    second was once seen to keep one, and nobody could make it do so again.
    """
    live, held = live_catalog(shop.runtime), list[str]()
    gc.disable()
    try:
        for name in ("first", "second", "third"):
            for path in (
                "products?select=*",
                f"nonsense_{name}",
                f"products?select=nonsense_{name}(*)",
                f"products?nonsense_{name}=eq.1",
            ):
                await shop.client.get(f"/rest/v1/{path}", headers=SERVICE)
            old = ref(live.current())
            await database.execute(f"create table {name} (id int)")
            await replaced(live, old)
            assert (await shop.client.get(f"/rest/v1/{name}", headers=SERVICE)).status_code == 200
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await eventually(partial(is_gone, old))
                return
            held += islice(holders_of(old()), 60)
        pytest.fail("\n".join(["each is held:", *held]))
    finally:
        gc.enable()


async def replaced(live: LiveCatalog, old: ref[Catalog]) -> None:
    await eventually(lambda: live.current() is not old())


def is_gone(old: ref[Catalog]) -> bool:
    return old() is None


def holders_of(thing: object, depth: int = 0) -> Iterator[str]:
    """Yield what refers to ``thing``, and what refers to that, as far as it tells something."""
    for holder in gc.get_referrers(thing):
        if not isinstance(holder, FrameType) or holder.f_code.co_name != "holders_of":
            yield f"{'  ' * depth}{type(holder).__name__} {repr(holder)[:100]}"
            if depth < 3:
                yield from islice(holders_of(holder, depth + 1), 20)


async def test_many_old_parts_are_let_go_one_by_one(
    database: asyncpg.Connection, platform_database: str
) -> None:
    await database.execute("create schema many")
    for number in range(150):
        await database.execute(f"create table many.one_{number} (id int primary key)")
    async with reading(platform_database) as found:
        held = found.live.current()
        old = ref(held)
        await database.execute("drop schema many cascade")
        await eventually(lambda: not any(schema == "many" for schema, _ in found.live.current().relations))
        leaving = [task for task in asyncio.all_tasks() if task.get_name() == "catalog, old parts"]
        assert len(leaving) == 1, "somebody uses it still"
        del held
        await asyncio.wait_for(leaving[0], PATIENCE_SECONDS)
        assert old() is None


async def test_a_listener_that_was_away_looks_for_itself(
    database: asyncpg.Connection, platform_database: str
) -> None:
    await database.execute(SILENCE)
    async with reading(platform_database) as found:
        await database.execute("create table fresh (id int)")
        assert await database.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where application_name = 'monohull-listen' and datname = current_database()"
        )
        await eventually(lambda: found.knows("fresh"))
        assert found.reconfigured == 1


async def grow_old(live: LiveCatalog) -> None:
    """Have the last read be so long ago that a request may cause the next one."""
    await eventually(lambda: live._answered == live._asked)
    live._read_at -= MIN_INTERVAL_SECONDS


async def test_a_request_finds_what_nobody_told_of(database: asyncpg.Connection, shop: Served) -> None:
    await database.execute(SILENCE)
    await grow_old(live_catalog(shop.runtime))
    await database.execute("create table fresh (id int primary key, customer_id int references customers)")
    assert (await shop.client.get("/rest/v1/fresh", headers=SERVICE)).status_code == 200


async def test_what_the_database_no_longer_has_is_looked_at_again(
    database: asyncpg.Connection, shop: Served
) -> None:
    await database.execute(SILENCE)
    live = live_catalog(shop.runtime)
    await grow_old(live)
    await database.execute("drop table vacations")
    old = live.current()
    first = await shop.client.get("/rest/v1/vacations", headers=SERVICE)
    assert (first.status_code, first.json()["code"]) == (404, "42P01")
    await eventually(lambda: live.current() is not old)
    second = await shop.client.get("/rest/v1/vacations", headers=SERVICE)
    assert (second.status_code, second.json()["code"]) == (404, "PGRST205")


async def test_requests_for_nonsense_cause_one_read_an_interval(
    database: asyncpg.Connection, shop: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database
    monkeypatch.setattr("modules.query.live.MIN_INTERVAL_SECONDS", 1000.0)
    live, loads = live_catalog(shop.runtime), []
    await eventually(lambda: live._answered == live._asked)
    shop.runtime.observer.add_reader(
        lambda one: loads.append(one) if isinstance(one, CatalogLoaded) else None
    )

    async def ask() -> int:
        return (await shop.client.get("/rest/v1/nonsense", headers=SERVICE)).status_code

    assert await ask() == 404
    assert loads == [], "it was read a moment ago"
    live._read_at -= 1000.0
    catalog = live.current()
    assert await asyncio.gather(*(ask() for _ in range(50))) == [404] * 50
    assert await ask() == 404
    assert len(loads) == 1
    assert live.current() is catalog


async def test_there_is_none_before_the_first_read(platform_database: str) -> None:
    found = Reading(platform_database)
    with pytest.raises(CatalogMissing):
        found.live.current()
    assert await found.live.probe() is not None
    async with found.live.running():
        assert await found.live.probe() is None
        assert len(found.loads) == 1


async def test_it_is_read_through_the_connection_that_listens(
    database: asyncpg.Connection, platform_database: str
) -> None:
    async with reading(platform_database) as found:
        await eventually(lambda: found.is_at_rest)
        opened = found.opened
        await database.execute("create table fresh (id int)")
        await eventually(lambda: found.knows("fresh"))
        assert found.opened == opened


async def test_what_was_lost_half_way_is_read_again(
    database: asyncpg.Connection, platform_database: str
) -> None:
    async with reading(platform_database) as found:
        await eventually(lambda: found.is_at_rest)
        async with database.transaction():
            await database.execute("create table fresh (id int)")
            await database.execute("lock pg_rewrite")
            found.live.request_reload()
            reader = await eventually(lambda: database.fetchval(WAITS))
            await database.execute("select pg_terminate_backend($1, 5000)", reader)
            await eventually(lambda: any(isinstance(one, CatalogUnreadable) for one in found.said))
            assert not found.live.suspect(), "the database is away"
        await eventually(lambda: found.knows("fresh"))
