"""What `monohull gen` knows of a database: facts of several schemas, and the catalog beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import Struct

from modules.query import Compiler, Exposure, at_once, live_catalog
from modules.rest.assembly import data_service
from modules.rest.description.facts import SQL, Facts, read_facts
from modules.rest.description.seeing import Eyes, narrow
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query import Catalog
    from modules.rest.settings import RestSettings
    from monohull.kernel.runtime import Runtime

BYPASSING = frozenset({"service_role"})


class Nothing(Refused):
    """What is to be described is not there."""


class Known(Struct, frozen=True):
    """What was read.

    Attributes:
        schemas: In the order they were asked for.
        catalog: Knows relationships and keys.
        settings: In force, the configuration in the database included.
    """

    schemas: tuple[Facts, ...]
    catalog: Catalog
    settings: RestSettings


async def read_schemas(runtime: Runtime, schemas: Sequence[str], role: str | None) -> Known:
    """Read what there is, or what a database role may see of it.

    Args:
        runtime: Of this process.
        schemas: Their names; none for those that the data API exposes.
        role: None for all there is.

    Raises:
        Nothing: There is no such schema or role.
        Unavailable: The database is away.
    """
    async with data_service(runtime).standing_by() as api, runtime.database.connection() as connection:
        catalog, settings = live_catalog(runtime).current(), api.settings
        wanted = tuple(dict.fromkeys(schemas)) or settings.schemas
        exposure = Exposure(frozenset(wanted), settings.expose, settings.public_keys)
        compiler = Compiler(catalog, exposure, bypassing_roles=BYPASSING)
        closed = frozenset() if role is None else compiler.closed_to(role)
        found: list[Facts] = []
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if role is not None:
                await _become(connection, role)
            for schema in wanted:
                await _demand_schema(connection, schema)
                document = await connection.fetchval(SQL, schema, role is None)
                facts = at_once(read_facts(schema, document.encode()))
                names = frozenset(name for of, name in closed if of == schema)
                found.append(at_once(narrow(facts, Eyes(names))))
    return Known(tuple(found), catalog, settings)


async def _become(connection: asyncpg.Connection[Any], role: str) -> None:
    try:
        await connection.execute("SELECT set_config('role', $1, true)", role)
    except asyncpg.InvalidParameterValueError as error:
        raise Nothing(f"There is no database role {role!r}.") from error


async def _demand_schema(connection: asyncpg.Connection[Any], schema: str) -> None:
    is_there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
    if not await connection.fetchval(is_there, schema):
        raise Nothing(f"There is no schema {schema!r} in the database.")
