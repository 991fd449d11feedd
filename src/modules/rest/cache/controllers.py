"""``/platform/v1/cache``."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from modules.rest.cache.marking import CachedTables, CachedTableView
from modules.rest.cache.permissions import READ_CACHE, WRITE_CACHE
from monohull.kernel.guards import requires

DEFAULT_MAX_AGE_SECONDS: Final = 60
MAX_AGE_SECONDS: Final = 86_400


class CacheTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table to cache, as SQL says it, and how long an answer is kept at most."""

    table: Annotated[str, Meta(min_length=1, max_length=200)]
    max_age_seconds: Annotated[int, Meta(ge=1, le=MAX_AGE_SECONDS)] = DEFAULT_MAX_AGE_SECONDS


class CachedTableList(Struct, frozen=True, kw_only=True):
    """All tables that are cached, by name."""

    tables: list[CachedTableView]


class CacheController(Controller):
    path = "/cache/tables"
    tags = ("Response cache",)

    @get(guards=[requires(READ_CACHE.name)], operation_id="ListCachedTables")
    async def show(self, rest_cached_tables: NamedDependency[CachedTables]) -> CachedTableList:
        """List the tables whose reads are cached, and for each why a role's reads are not."""
        return CachedTableList(tables=list(await rest_cached_tables.list()))

    @post(guards=[requires(WRITE_CACHE.name)], status_code=HTTP_200_OK, operation_id="CacheTable")
    async def mark(
        self, rest_cached_tables: NamedDependency[CachedTables], data: JSONBody[CacheTable]
    ) -> CachedTableView:
        """Have reads of a table answered from the cache; one that is cached already gets the new age."""
        return await rest_cached_tables.mark(data.table, data.max_age_seconds)

    @delete("/{table:str}", guards=[requires(WRITE_CACHE.name)], operation_id="UncacheTable")
    async def unmark(self, rest_cached_tables: NamedDependency[CachedTables], table: FromPath[str]) -> None:
        """Have reads of a table answered by the database alone."""
        await rest_cached_tables.unmark(table)
