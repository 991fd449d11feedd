"""A PostgreSQL cluster as its administrator sees it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import asyncpg
from msgspec import Struct

from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login
from monohull.kernel.home import with_login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PASSWORD: Final = "a-password-for-owners"
LOGIN: Final = Login("derived-password-of-the-authenticator-43-chars")
ROLES: Final = ("authenticator", "anon", "authenticated", "service_role")


class Cluster(Struct, frozen=True):
    """Superuser's address and major."""

    url: str
    major: int

    def address(self, database: str, user: str | None = None, password: str = PASSWORD) -> str:
        url = urlsplit(self.url)._replace(path=f"/{database}").geturl()
        return url if user is None else with_login(url, user, password)

    async def run(self, *statements: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.address(database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def rows(self, sql: str, *args: object, database: str = "postgres") -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.address(database))
        try:
            found: list[asyncpg.Record] = await connection.fetch(sql, *args)
            return found
        finally:
            await connection.close()

    async def wipe(self) -> None:
        """Drop every database and role that tests made."""
        databases = await self.rows(
            "select datname from pg_database "
            "where not datistemplate and datname not in ('postgres', 'monohull')"
        )
        await self.run(*(f'drop database "{row[0]}" with (force)' for row in databases))
        roles = await self.rows(
            "select rolname from pg_roles where rolname !~ '^pg_' and rolname <> 'monohull'"
        )
        names = [f'"{row[0]}"' for row in roles]
        for database in ("postgres", "monohull"):
            await self.run(*(f"drop owned by {name}" for name in names), database=database)
        await self.run(*(f"drop role {name}" for name in names))

    @asynccontextmanager
    async def owned(self, name: str = "shop", attributes: str = "CREATEROLE") -> AsyncIterator[Database]:
        """Make login and database ``name``, and lend the owner's connections."""
        await self.run(
            f"create role {name} login nosuperuser password '{PASSWORD}' {attributes}",
            f"create database {name} owner {name}",
        )
        database = Database(self.address(name, name), pool_size=2, application_name="tests")
        async with database.running():
            yield database
