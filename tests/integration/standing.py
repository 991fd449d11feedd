"""A database, and an application over it, that serve one test after the other.

To copy a database and to start an application takes a second; what most tests ask of
it takes a hundredth. So the next test gets the same ones when they can be as they
were. Nobody has to say what a test changed: the system columns of all tables and
catalogs do. Rows that were added are taken out again; after anything else, as a row
that was changed or a table that was made, all is made anew.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from monohull.kernel.crypto import derive_password
from monohull.kernel.home import Connections, with_login
from monohull.kernel.redis_connection import close_redis, open_redis
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, Served, on_database, running_app
from tests.patience import PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.services import Services

CATALOGS: Final = """
    pg_aggregate pg_attrdef pg_attribute pg_cast pg_class pg_collation pg_constraint pg_conversion
    pg_default_acl pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper
    pg_foreign_server pg_foreign_table pg_index pg_inherits pg_language pg_largeobject_metadata pg_namespace
    pg_opclass pg_operator pg_opfamily pg_policy pg_proc pg_publication pg_publication_rel pg_range pg_rewrite
    pg_seclabel pg_sequence pg_statistic_ext pg_trigger pg_ts_config pg_ts_dict pg_type
"""
SETTINGS: Final = (
    "select 'settings', count(*), string_agg(setconfig::text, ' ' order by setrole) from pg_db_role_setting "
    "where setdatabase = (select oid from pg_database where datname = current_database())"
)
SEQUENCES: Final = """
    select 'sequence ' || quote_ident(schemaname) || '.' || quote_ident(sequencename), 0, last_value::text
      from pg_sequences
"""
TABLES: Final = r"""
    select quote_ident(nspname) || '.' || quote_ident(relname)
      from pg_class c join pg_namespace n on n.oid = relnamespace
     where relkind in ('r', 'm') and nspname !~ '^pg_' and nspname <> 'information_schema'
     order by 1
"""
OTHERS: Final = """
    select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
OF_THE_PLATFORM: Final = ("sequence monohull.", "sequence auth.")
"""A running application has numbers of these in mind: they go on."""

MANY: Final = 5_000
"""Rows. A table that had more than these in between is not as it was."""


class Standing:
    """One database at a time, and at most one application over it.

    Args:
        services: The servers.
        template: Database with the platform schema.
        name: Of the database.
        number: Of the worker, which is its Redis database.

    Attributes:
        keeps: Whatever a fixture made for the application that runs; None again with the next one.
    """

    def __init__(self, services: Services, template: str, name: str, number: int) -> None:
        self._services, self._template, self._name = services, template, name
        url = on_database(services.postgres_url, self._name)
        data_url = with_login(url, "authenticator", derive_password(JWT_SECRET, "authenticator"))
        redis_url = urlsplit(services.redis_url)._replace(path=f"/{number}").geturl()
        self.connections: Final = Connections(Secret(url), Secret(data_url), Secret(redis_url))
        self.keeps: Any = None
        self._stack = AsyncExitStack()
        self._tables: tuple[str, ...] | None = None
        self._settings: Mapping[str, str] = {}
        self._served: Served | None = None
        self._names: list[str] = []
        self._seen: dict[str, tuple[int, str | None]] = {}

    async def fresh(self, tables: tuple[str, ...] = ()) -> Connections:
        """Have a database with what ``tables`` make and nothing else."""
        if self._tables != tables or not await self._restored():
            await self._renew(tables)
        elif self._served is not None:
            self._served.runtime.grants.begin_epoch()
        return self.connections

    async def empty_redis(self) -> None:
        redis = open_redis(self.connections.redis_url, timeouts=PATIENT)
        await redis.flushdb()
        await close_redis(redis)

    async def serve(self, **settings: str) -> Served:
        """Return the application with these settings over the database of `fresh`."""
        if self._served is None or self._settings != settings:
            await self._stop()
            self._served = await self._stack.enter_async_context(running_app(self.connections, **settings))
            self._settings = settings
            await self.remember()
        return self._served

    async def remember(self) -> None:
        """Take the database as it is now for what each test shall find."""
        connection = await asyncpg.connect(self.connections.owner_url)
        try:
            self._names = [row[0] for row in await connection.fetch(TABLES)]
            self._seen = await self._look(connection)
        finally:
            await connection.close()

    async def drop(self) -> None:
        """Stop the application and remove the database."""
        await self._stop()
        self._tables = None
        await self._as_admin(f"drop database if exists {self._name} with (force)")

    async def _renew(self, tables: tuple[str, ...]) -> None:
        await self.drop()
        await self._as_admin(f"create database {self._name} template {self._template} strategy file_copy")
        connection = await asyncpg.connect(self.connections.owner_url)
        try:
            for statements in tables:
                await connection.execute(statements)
        finally:
            await connection.close()
        self._tables = tables
        await self.remember()

    async def _as_admin(self, statement: str) -> None:
        admin = await asyncpg.connect(self._services.postgres_url)
        try:
            await admin.execute(statement)
        finally:
            await admin.close()

    async def _stop(self) -> None:
        self._served = self.keeps = None
        await self._stack.aclose()

    async def _restored(self) -> bool:
        """Take out what was added; return whether the database is then as it was."""
        try:
            connection = await asyncpg.connect(self.connections.owner_url)
        except asyncpg.InvalidCatalogNameError:
            return False
        try:
            if self._served is None:
                await connection.execute(OTHERS)
            found = await self._look(connection)
            if found == self._seen:
                return True
            changed = {name for name in found.keys() | self._seen.keys() if self._has_changed(name, found)}
            if not all(self._can_be_undone(name, found) for name in changed):
                return False
            await connection.execute("set session_replication_role = replica")
            for name in changed:
                await connection.execute(self._undoing(name))
            found = await self._look(connection)
            return not any(self._has_changed(name, found) for name in found.keys() | self._seen.keys())
        except asyncpg.PostgresError:  # a table that is gone, or that somebody closed
            return False
        finally:
            await connection.close()

    def _has_changed(self, name: str, found: Mapping[str, tuple[int, str | None]]) -> bool:
        if self._served is not None and name.startswith(OF_THE_PLATFORM):
            return False
        return found.get(name) != self._seen.get(name)

    def _can_be_undone(self, name: str, found: Mapping[str, tuple[int, str | None]]) -> bool:
        if name.startswith("sequence "):
            return name in self._seen and name in found
        return name in self._names and 0 <= found[name][0] - self._seen[name][0] <= MANY

    def _undoing(self, name: str) -> str:
        _, last = self._seen.get(name, (0, None))
        if name.startswith("sequence "):
            sequence = name.removeprefix("sequence ").replace("'", "''")
            start = f"(select seqstart from pg_sequence where seqrelid = '{sequence}'::regclass)"
            return f"select setval('{sequence}', {last or start}, {last is not None})"
        return f"delete from {name} where xmin::text::bigint > {last or 0}"

    async def _look(self, connection: asyncpg.Connection) -> dict[str, tuple[int, str | None]]:
        """Return how many rows each table has and who wrote the newest; and how far sequences are."""
        counted = [
            f"select $name${name}$name$, count(*), max(xmin::text::bigint)::text from {name}"
            for name in (*CATALOGS.split(), *self._names)
        ]
        rows = await connection.fetch(" union all ".join([*counted, SETTINGS, SEQUENCES]))
        return {name: (count, newest) for name, count, newest in rows}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(services: Services, template_database: str, worker_number: int) -> AsyncIterator[Standing]:
    standing = Standing(services, template_database, f"standing_{worker_number}", worker_number)
    yield standing
    await standing.drop()


@pytest_asyncio.fixture(loop_scope="module")
async def connections(standing: Standing, tables: tuple[str, ...]) -> Connections:
    """Of a database with ``tables`` and nothing that a test before left, and of an empty Redis."""
    await standing.empty_redis()
    return await standing.fresh(tables)


@pytest.fixture
def platform_database(connections: Connections) -> str:
    """Its address (superuser)."""
    return connections.owner_url


@pytest_asyncio.fixture(loop_scope="module")
async def database(connections: Connections) -> AsyncIterator[asyncpg.Connection]:
    """The test's database, as the superuser."""
    connection = await asyncpg.connect(connections.owner_url)
    yield connection
    await connection.close()
