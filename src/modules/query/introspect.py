"""Read ``pg_catalog`` into a `Catalog`, one query per kind of thing.

Works on PostgreSQL 14 to 18 with no more rights than any login has: the system
catalogs are readable by all. Everything is read in one transaction that sees
one snapshot, so that a column never belongs to a table that is not there yet.

Source of what to look for: PostgREST 16, ``SchemaCache.hs``.
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from modules.query.catalog import Catalog
from modules.query.introspect_routines import (
    COMPOSITES,
    HANDLERS,
    OURS,
    REPRESENTATIONS,
    ROUTINES,
    computed_relationships,
    read_composites,
    read_handlers,
    read_representations,
    read_routines,
)
from modules.query.introspect_tables import COLUMNS, CONSTRAINTS, RELATIONS, Row, Tables
from modules.query.relationships import derive_relationships
from modules.query.steps import REST_SECONDS, in_slices
from modules.query.views import follow, read_targets, stand_ins, with_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from asyncpg import Connection

    from modules.query.columns import Key
    from modules.query.steps import Steps

T = TypeVar("T")
VIEW_BASES: Final = """
SELECT DISTINCT r.ev_class AS view, d.refobjid AS base
FROM pg_rewrite r
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_class'::regclass
WHERE r.rulename = '_RETURN' AND d.refobjid <> r.ev_class
"""

VIEWS: Final = f"""
SELECT r.ev_class AS view, r.ev_action::text AS definition
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename = '_RETURN' AND {OURS}
"""

ROLES: Final = "SELECT rolname AS name FROM pg_roles WHERE rolbypassrls OR rolsuper"

SURROUNDINGS: Final = "SET LOCAL search_path = ''; SET LOCAL jit = off; SET LOCAL work_mem = '16MB'"
"""Types are then written with their schemas, nothing is compiled for one use, and sorting needs no files."""

BATCH_ROWS: Final = 1000
"""So many are decoded in about half a millisecond."""

QUERIES: Final = (VIEW_BASES, VIEWS, ROLES, ROUTINES, COMPOSITES, HANDLERS, REPRESENTATIONS)
"""In the order of the fields of `Rows`."""


class Rows(Struct, frozen=True):
    """What the queries above gave."""

    bases: Sequence[Row]
    views: Sequence[Row]
    roles: Sequence[Row]
    routines: Sequence[Row]
    composites: Sequence[Row]
    handlers: Sequence[Row]
    representations: Sequence[Row]


async def introspect(connection: Connection[Any], before: Catalog | None = None) -> Catalog:
    """Return the catalog of the database that ``connection`` is connected to.

    Args:
        connection: Any login may read the system catalogs.
        before: What was read last. Everything that is still the same is taken from it, and if nothing
            changed it is returned itself.

    Raises:
        asyncpg.PostgresError: The server refused a query.
        OSError: The connection was lost.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(SURROUNDINGS)
        tables = Tables(await _fetch(connection, RELATIONS))
        async for batch in _batches(connection, COLUMNS):
            await in_slices(tables.take_columns(batch))
        async for batch in _batches(connection, CONSTRAINTS):
            await in_slices(tables.take_constraints(batch))
        rows = Rows(*[await _fetch(connection, query) for query in QUERIES])
    return await in_slices(build(tables, rows, before))


async def _fetch(connection: Connection[Any], query: str) -> list[Row]:
    return [row async for batch in _batches(connection, query) for row in batch]


async def _batches(connection: Connection[Any], query: str) -> AsyncIterator[list[Row]]:
    """Yield the rows of ``query`` a batch at a time: to decode and to free them is work, too."""
    cursor = await connection.cursor(query)
    while True:
        batch = await cursor.fetch(BATCH_ROWS)
        yield batch
        if len(batch) < BATCH_ROWS:
            return
        await asyncio.sleep(REST_SECONDS)


def build(tables: Tables, rows: Rows, before: Catalog | None = None) -> Steps[Catalog]:
    """Put together what was read."""
    relations = yield from tables.build(_bases(rows.bases, tables.keys))
    origins = yield from follow((yield from _direct_origins(rows.views, tables)), relations)
    relations = yield from with_keys(relations, origins)
    more = yield from stand_ins(tables.foreign_keys, origins)
    computed = computed_relationships(rows.routines, tables.keys, relations)
    relationships = yield from derive_relationships(relations, [*tables.foreign_keys, *more], computed)
    columns = tables.columns | read_composites(rows.composites)
    routines = yield from read_routines(rows.routines, tables.keys, columns)
    if before is not None:
        yield from _keep(relations, before.relations)
        yield from _keep(relationships, before.relationships)
        yield from _keep(routines, before.routines)
    built = Catalog(
        relations=relations,
        relationships=relationships,
        bypassing_roles=frozenset(row["name"] for row in rows.roles),
        routines=routines,
        handlers=read_handlers(rows.handlers, tables.keys),
        representations=read_representations(rows.representations),
    )
    return before if before is not None and built == before else built


def _keep(found: dict[Key, T], before: Mapping[Key, T]) -> Steps[None]:
    """Take from ``before`` what is still the same, so that a reload replaces what changed and no more."""
    for key, value in found.items():
        known = before.get(key)
        if known == value:
            found[key] = known
        yield


def _direct_origins(views: Sequence[Row], tables: Tables) -> Steps[dict[Key, dict[str, tuple[Key, str]]]]:
    """Return where the columns of each view come from, one step back."""
    found: dict[Key, dict[str, tuple[Key, str]]] = {}
    for row in views:
        columns = found.setdefault(tables.keys[row["view"]], {})
        own = tables.names.get(row["view"], {})
        for number, table, column in read_targets(row["definition"]):
            name, origin = own.get(number), tables.names.get(table, {}).get(column)
            if name is not None and origin is not None:
                columns[name] = (tables.keys[table], origin)
        yield
    return found


def _bases(rows: Sequence[Row], keys: Mapping[int, Key]) -> dict[int, list[Key]]:
    """System relations have no key here; they count as a base nobody knows, `exposure` says closed."""
    found: dict[int, list[Key]] = {}
    for row in rows:
        found.setdefault(row["view"], []).append(keys.get(row["base"], ("pg_catalog", str(row["base"]))))
    return found
