"""Views and partitions: relations that requests may name, and whose rows are those of a table.

A row of a table is found in them by the table's primary key, where they have it under the same
names. A partition has policies and grants of its own, which count when it is named itself. A view
reads its tables as its owner unless it is a ``security_invoker`` view; that word is in the matrix too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from modules.policy_tests.catalog import Table, read_columns, read_partitions
from modules.policy_tests.filling import Row
from modules.policy_tests.statements import found_by, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.policy_tests.catalog import Column
    from modules.policy_tests.filling import People
    from modules.policy_tests.layout import Layout

AS_OWNER: Final = "as its owner"
AS_CALLER: Final = "as its caller"
EVERYTHING: Final = frozenset({"select", "insert", "update", "delete"})
_BITS: Final = {"update": 4, "insert": 8, "delete": 16}
"""Of ``pg_relation_is_updatable``."""

_VIEWS: Final = """
with recursive reads as (
    select r.ev_class as view, d.refobjid as base
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> r.ev_class
    where r.rulename = '_RETURN'
), below as (
    select view, base from reads union select b.view, r.base from below b join reads r on r.view = b.base
)
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       pg_get_userbyid(c.relowner)::text as owner, pg_relation_is_updatable(c.oid, true) as events,
       coalesce((select bool_or(o.option_value in ('true', 'on', 'yes', '1'))
                 from pg_options_to_table(c.reloptions) o where o.option_name = 'security_invoker'), false)
           as is_invoker,
       array(select b.base::int8 from below b where b.view = c.oid) as bases,
       array(select a.attname::text from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and pg_column_is_updatable(c.oid, a.attnum, true))
           as updatable
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm', 'f') and n.nspname = any ($1::text[])
order by n.nspname, c.relname
"""

_WHY: Final = {
    "m": "a materialized view holds what was there when it was refreshed",
    "f": "the rows of a foreign table are elsewhere",
}


class Derived(Struct, frozen=True):
    """A view or a partition.

    Attributes:
        table: What is tried; its columns are those that are the base's.
        base: Oid of the table whose rows it has; None where none was found.
        commands: What can be done to it by its structure.
        why_not: Why there are no cells.
    """

    table: Table
    base: int | None = None
    commands: frozenset[str] = EVERYTHING
    why_not: str | None = None


async def read_derived(
    connection: asyncpg.Connection, tables: Mapping[int, Table], schemas: Sequence[str]
) -> list[Derived]:
    """Return the views and partitions of the exposed schemas, by title."""
    found = [
        Derived(table, root if root in tables else None)
        for table, root in await read_partitions(connection)
        if table.schema in schemas
    ]
    rows = await connection.fetch(_VIEWS, list(schemas))
    columns = await read_columns(connection, [row["oid"] for row in rows])
    found += [_view(row, columns.get(row["oid"], {}), tables) for row in rows]
    return sorted(found, key=lambda one: one.table.title)


def _view(row: Any, columns: Mapping[str, Column], tables: Mapping[int, Table]) -> Derived:
    table = Table(
        oid=row["oid"],
        schema=row["schema"],
        name=row["name"],
        owner=row["owner"],
        row_security=AS_CALLER if row["is_invoker"] else AS_OWNER,
        columns=columns,
    )
    if row["kind"] in _WHY:
        return Derived(table, why_not=_WHY[row["kind"]])
    bases = [tables[oid] for oid in row["bases"] if oid in tables and _has_key(columns, tables[oid])]
    if not bases:
        return Derived(table, why_not="no table that it reads has its key in it, under the same names")
    base = min(bases, key=lambda one: (-len(_shared(columns, one)), one.title))
    commands = {"select", *(name for name, bit in _BITS.items() if row["events"] & bit)}
    kept, updatable = _shared(columns, base), set(row["updatable"])
    if "update" in commands:
        kept = {name: one for name, one in kept.items() if name in updatable or name in base.key}
    if not any(_can_be_set(one) for name, one in kept.items() if name in updatable):
        commands.discard("update")
    return Derived(replace(table, columns=kept, key=base.key), base.oid, frozenset(commands))


def _can_be_set(column: Column) -> bool:
    return not column.is_generated and column.identity != "a"


def _has_key(columns: Mapping[str, Column], base: Table) -> bool:
    return bool(base.key) and set(base.key) <= _shared(columns, base).keys()


def _shared(columns: Mapping[str, Column], base: Table) -> dict[str, Column]:
    """Return the base's columns that the view has under the same name and type."""
    return {
        name: column
        for name, column in base.columns.items()
        if name in columns and columns[name].type == column.type
    }


async def find_rows(
    connection: asyncpg.Connection, derived: Sequence[Derived], people: People
) -> tuple[list[Derived], People]:
    """Look, as the owner, which person's row is in which view or partition.

    Returns what can be tried and what cannot, with the reason, and ``people`` with these rows.
    """
    known: list[Derived] = []
    others = dict(people.others)
    for one in derived:
        if one.why_not is not None or one.base is None or one.base not in people.rows:
            known.append(
                one if one.why_not else replace(one, why_not="the table whose rows it has is left out")
            )
            continue
        try:
            async with connection.transaction():
                rows = tuple([await _row(connection, one, row) for row in people.rows[one.base]])
        except asyncpg.PostgresError as error:
            known.append(replace(one, why_not=f"it cannot be read: {told(error)}"))
            continue
        if not any(rows):
            known.append(replace(one, why_not="none of the rows that are made is in it"))
            continue
        others[one.table.oid] = rows
        known.append(one)
    return known, replace(people, others=others)


async def _row(connection: asyncpg.Connection, one: Derived, row: Row) -> Row | None:
    """Return a person's row as the view or partition has it; None where it does not have it, or twice."""
    where = found_by(one.table, row.values)
    found = await connection.fetch(
        f"select 1 from {one.table.quoted} where {where.sql} limit 2",  # noqa: S608 quoted names
        *where.arguments,
    )
    if len(found) != 1:
        return None
    columns = one.table.columns
    return Row(
        {name: value for name, value in row.values.items() if name in columns},
        tuple(name for name in row.written if name in columns),
    )


def with_derived(layout: Layout, derived: Sequence[Derived], tables: Mapping[int, Table]) -> Layout:
    """Return a layout that knows whose the rows of views and partitions are."""
    claims = dict(layout.claims)
    for one in derived:
        if one.base is not None:
            carriers = layout.carriers(tables[one.base])
            claims[one.table.oid] = {name: ("",) for name in carriers if name in one.table.columns}
    return replace(layout, claims=claims)
